// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const (
	astartes  = "astartes.api.astarte-platform.org"
	tiers     = "servicetiers.cp.nuodb.com"
	operators = "operators"
)

// backup is a control plane of its own, in which Holdfast keeps everything saved.
type backup struct {
	size     sizes
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	admin    harness.Runner
	client   dynamic.Interface
	kube     kubernetes.Interface
	store    *snapshot.Store
	operator *standin.Operator
	serial   int
}

// sets measures continuous backup.
func (b *bench) sets(ctx context.Context, r *report) error {
	c := &backup{size: b.size}
	defer func() {
		if c.holdfast != nil {
			_ = c.holdfast.Stop() // the cluster ends with it
		}
		if c.cluster != nil {
			_ = c.cluster.Stop()
		}
	}()
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("continuous backup: %w", err)
	}
	for _, measure := range []func(context.Context, *report) error{c.firstSet, c.bytes, c.steady, c.deletes} {
		if err := measure(ctx, r); err != nil {
			return fmt.Errorf("continuous backup: %w", err)
		}
	}
	return nil
}

func (c *backup) start(ctx context.Context) (err error) {
	if c.cluster, err = controlplane.Start(ctx, controlplane.Options{AuditLog: true, APIServerFlags: []string{"--service-cluster-ip-range=10.0.0.0/16"}}); err != nil {
		return err
	}
	c.cluster.Config.WarningHandler = rest.NoWarnings{}
	c.cluster.Config.QPS, c.cluster.Config.Burst = 10_000, 10_000
	if c.client, err = dynamic.NewForConfig(c.cluster.Config); err != nil {
		return err
	}
	if c.kube, err = kubernetes.NewForConfig(c.cluster.Config); err != nil {
		return err
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(c.cluster.Config))
	if err != nil {
		return err
	}
	c.admin = harness.Runner{Cluster: c.cluster, Kubeconfig: c.cluster.Kubeconfig}
	for _, name := range []string{namespace, operators} { // the chart's Roles are there
		if err := done(c.admin.Kubectl(ctx, "create", "namespace", name)); err != nil {
			return err
		}
	}
	c.holdfast, err = harness.Install(ctx, c.cluster, harness.Options{
		Profiles: []string{"astarte", "nuodb"},
		Values:   map[string]any{"continuousBackup": true, "secretNamespaces": []string{namespace, operators}},
	})
	if err != nil {
		return err
	}
	c.admin = c.holdfast.Admin()
	if c.store, err = snapshot.NewStore(c.kube, meta, c.holdfast.Namespace, time.Now); err != nil {
		return err
	}
	if err := harness.LoadNuoDBCRDs(ctx, c.admin); err != nil {
		return err
	}
	shapes := standin.Shapes()
	at := slices.IndexFunc(shapes, func(s standin.Shape) bool { return s.Version == "24.5" })
	c.operator = &standin.Operator{Shape: shapes[max(0, at)], Client: c.client, Kube: c.kube}
	if _, err := c.operator.InstallKinds(ctx, c.admin, operators); err != nil {
		return err
	}
	for _, name := range c.operator.Shape.UserSecrets {
		_, err := c.kube.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"by": "user"}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	return c.holdfast.Start(ctx)
}

// create makes an Astarte, for which the operator makes the rest.
func (c *backup) create(ctx context.Context) (*unstructured.Unstructured, error) {
	c.serial++
	shape := c.operator.Shape
	o := &unstructured.Unstructured{}
	text := fmt.Sprintf("{apiVersion: api.astarte-platform.org/%s, kind: Astarte, metadata: {name: a%d}, spec: %s}", shape.API, c.serial, shape.Spec)
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		return nil, err
	}
	return c.client.Resource(shape.Astartes()).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
}

// whole waits until the latest set of an Astarte has all that the operator makes.
func (c *backup) whole(ctx context.Context, o *unstructured.Unstructured) error {
	shape := c.operator.Shape
	return until(ctx, func() (bool, error) {
		sets, err := c.store.Sets(ctx, snapshot.Filter{UID: o.GetUID()})
		if err != nil || len(sets) == 0 {
			return false, err
		}
		return sets[0].Complete && sets[0].Saved > len(shape.Secrets)+len(shape.ConfigMaps), nil
	})
}

// firstSet measures from the creation of an Astarte until all of it is saved,
// the operator's work included, which takes turns of 100 ms.
func (c *backup) firstSet(ctx context.Context, r *report) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	go c.operator.Run(working)
	s := &sample{}
	for range 5 {
		began := time.Now()
		o, err := c.create(ctx)
		if err != nil {
			return err
		}
		if err := c.whole(ctx, o); err != nil {
			return err
		}
		s.took = append(s.took, time.Since(began))
	}
	r.limit("from an Astarte's creation to its first complete set, its operator's work included, median of 5", ms(s.p50()), s.p50(), 0)
	return nil
}

// bytes compares what is stored of each kind with the YAML of the object.
func (c *backup) bytes(ctx context.Context, r *report) error {
	sets, err := c.store.Sets(ctx, snapshot.Filter{Name: "a1"})
	if err != nil || len(sets) == 0 {
		return fmt.Errorf("there is no set of a1: %w", err)
	}
	set, err := c.store.Set(ctx, sets[0].ID)
	if err != nil {
		return err
	}
	stored, raw, count := map[string]int{}, map[string]int{}, map[string]int{}
	whole, yamls := 0, 0
	for _, m := range set.Members {
		if m.Snapshot == "" {
			continue
		}
		snap, err := c.store.Get(ctx, m.Snapshot)
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(snap.Object.Object)
		if err != nil {
			return err
		}
		n, err := c.secretBytes(ctx, append([]string{"holdfast-snapshot-" + m.Snapshot}, snap.Chunks...)...)
		if err != nil {
			return err
		}
		stored[m.Resource], raw[m.Resource], count[m.Resource] = stored[m.Resource]+n, raw[m.Resource]+len(text), count[m.Resource]+1
		whole, yamls = whole+n, yamls+len(text)
	}
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		r.add(fmt.Sprintf("bytes stored of one of %s, mean of %d", kind, count[kind]), fmt.Sprint(stored[kind]/count[kind]), fmt.Sprintf("its YAML %d", raw[kind]/count[kind]), float64(stored[kind])/float64(raw[kind]), 0)
	}
	n, err := c.secretBytes(ctx, "holdfast-set-"+set.ID)
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf("bytes stored of a whole set of %d objects, %d of them that of the set itself", set.Saved, n), fmt.Sprint(whole+n), fmt.Sprintf("all YAML %d", yamls), float64(whole+n)/float64(yamls), 0)
	return nil
}

// secretBytes is how much Secrets take as etcd stores them.
func (c *backup) secretBytes(ctx context.Context, names ...string) (total int, err error) {
	for _, name := range names {
		secret, err := c.kube.CoreV1().Secrets(c.holdfast.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return 0, err
		}
		data, err := secret.Marshal()
		if err != nil {
			return 0, err
		}
		total += len(data)
	}
	return total, nil
}

// until asks again and again, at most for minutes.
func until(ctx context.Context, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := is(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// resident is how much memory a process takes, in MiB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	return kib / 1024, err
}
