// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// manual is what NuoDB's manual says, on one line: export, clean, let go, create.
const manual = `set -e
kubectl -n bench get servicetier $1 -o yaml > $2
sed -i '/deletionGracePeriodSeconds:/d; /deletionTimestamp:/d' $2
kubectl -n bench patch servicetier $1 --type=merge -p '{"metadata":{"finalizers":null}}'
kubectl -n bench create -f $2`

// undo compares how long a tier is missing, as a watch sees it.
func (b *bench) undo(ctx context.Context, r *report) error {
	ours, err := b.missing(ctx, b.size.undos, func(name string) harness.Result {
		return b.admin.Holdfast(ctx, "recovery", "undo", "servicetier", name, "-n", namespace, "--yes")
	})
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	theirs, err := b.missing(ctx, b.size.manual, func(name string) harness.Result {
		return b.shell(ctx, manual, name, filepath.Join(b.cluster.Dir, name+".yaml"))
	})
	if err != nil {
		return fmt.Errorf("manual: %w", err)
	}
	r.add(fmt.Sprintf("a tier is missing during undo, median of %d", len(ours.took)), ms(ours.p50()), "the manual's commands "+ms(theirs.p50()), float64(ours.p50())/float64(theirs.p50()), 0.2)
	r.add(fmt.Sprintf("a tier is missing during undo, longest of %d", len(ours.took)), ms(ours.quantile(1)), fmt.Sprintf("longest of %d of the manual %s", len(theirs.took), ms(theirs.quantile(1))), float64(ours.quantile(1))/float64(theirs.quantile(1)), 0.2)
	return nil
}

// shell runs a script with kubectl as an administrator.
func (b *bench) shell(ctx context.Context, script string, args ...string) harness.Result {
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "manual"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.cluster.Kubeconfig, "PATH="+b.cluster.Bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return harness.Result{Code: 1, Stderr: err.Error() + ": " + string(out)}
	}
	return harness.Result{Stdout: string(out)}
}

// hanging makes a tier that hangs Terminating, and gives it as it was created.
func (b *bench) hanging(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	tiers := b.client.Resource(harness.Tiers()).Namespace(namespace)
	made, err := tiers.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
		"metadata": map[string]any{"name": name, "finalizers": []any{"example.com/hold"}}, "spec": map[string]any{"features": []any{}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return made, tiers.Delete(ctx, name, metav1.DeleteOptions{})
}

// missing brings back n tiers, one after the other, that hang Terminating.
func (b *bench) missing(ctx context.Context, n int, bringBack func(name string) harness.Result) (*sample, error) {
	tiers := b.client.Resource(harness.Tiers()).Namespace(namespace)
	s := &sample{}
	for _, name := range b.names(n) {
		made, err := b.hanging(ctx, name)
		if err != nil {
			return nil, err
		}
		w, err := tiers.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: made.GetResourceVersion()})
		if err != nil {
			return nil, err
		}
		took := make(chan time.Duration, 1)
		go func() {
			var gone time.Time
			for event := range w.ResultChan() {
				switch {
				case event.Type == watch.Deleted:
					gone = time.Now()
				case event.Type == watch.Added && !gone.IsZero():
					took <- time.Since(gone)
				}
			}
			close(took)
		}()
		result := bringBack(name)
		if result.Code != 0 {
			w.Stop()
			return nil, done(result)
		}
		s.took = append(s.took, <-took)
		w.Stop()
	}
	return s, nil
}

// planUndo measures the plan of an undo in a namespace of many objects, none of
// which may belong to the tier.
func (b *bench) planUndo(ctx context.Context, r *report) error {
	name := b.names(1)[0]
	if _, err := b.hanging(ctx, name); err != nil {
		return err
	}
	s := &sample{}
	err := each(make([]string, 3), 1, s, func(string) error {
		return done(b.admin.Holdfast(ctx, "recovery", "undo", "servicetier", name, "-n", namespace, "--dry-run"))
	})
	if err != nil {
		return err
	}
	n := b.size.referrers[len(b.size.referrers)-1]
	r.limit(fmt.Sprintf("plan of an undo beside %d objects, median of 3", n), ms(s.p50()), s.p50(), 0)
	return nil
}

// list measures a list of many snapshots.
func (b *bench) list(ctx context.Context, r *report) error {
	gr := schema.GroupResource{Group: group, Resource: "plains"}
	err := each(b.names(b.size.snapshots), 32, nil, func(name string) error {
		o := object("plain", name, "")
		o.SetUID(types.UID(name))
		_, err := b.store.Save(ctx, gr, o, snapshot.Provenance{Operation: "delete", User: "bench"})
		return err
	})
	if err != nil {
		return err
	}
	s := &sample{}
	for range 5 {
		began := time.Now()
		records, err := b.store.List(ctx, snapshot.Filter{})
		if err != nil {
			return err
		}
		s.took = append(s.took, time.Since(began))
		if len(records) < b.size.snapshots {
			return fmt.Errorf("list has %d snapshots of %d", len(records), b.size.snapshots)
		}
	}
	r.limit(fmt.Sprintf("list of %d snapshots, median of 5", b.size.snapshots), ms(s.p50()), s.p50(), time.Second)
	return nil
}
