// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// The kinds: Holdfast guards plains, to which nothing can refer, and useds, to
// which users refer. The others belong to the webhooks it is compared with.
var kinds = []string{"plain", "used", "user", "refused", "twice", "noop", "write"} //nolint:gochecknoglobals // never changes

const (
	group     = "bench.example"
	namespace = "bench"

	profile = `
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: bench}
spec:
  resources:
  - resource: plains.bench.example
  - resource: useds.bench.example
    referencedBy: [{resource: users.bench.example, path: '{.spec.uses}'}]
`
	rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: holdfast-bench
  labels: {holdfast.dev/aggregate-to-serve: "true"}
rules:
- {apiGroups: [bench.example], resources: [plains, useds, users], verbs: [get, list, watch]}
---
apiVersion: v1
kind: Namespace
metadata: {name: bench}
`
)

type bench struct {
	size     sizes
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	admin    harness.Runner
	client   dynamic.Interface
	store    *snapshot.Store
	rivals   *rivals
	serial   int
}

func newBench(ctx context.Context, size sizes) (b *bench, err error) {
	b = &bench{size: size}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.cluster, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return b, err
	}
	b.cluster.Config.WarningHandler = rest.NoWarnings{}
	b.cluster.Config.QPS, b.cluster.Config.Burst = 10_000, 10_000
	if b.client, err = dynamic.NewForConfig(b.cluster.Config); err != nil {
		return b, err
	}
	kube, err := kubernetes.NewForConfig(b.cluster.Config)
	if err != nil {
		return b, err
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(b.cluster.Config))
	if err != nil {
		return b, err
	}
	b.holdfast, err = harness.Install(ctx, b.cluster, harness.Options{
		Profiles: []string{"nuodb"}, ProfileFiles: map[string]string{"bench.yaml": profile},
	})
	if err != nil {
		return b, err
	}
	b.admin = b.holdfast.Admin()
	if b.store, err = snapshot.NewStore(kube, meta, b.holdfast.Namespace, time.Now); err != nil {
		return b, err
	}
	if err := harness.LoadNuoDBCRDs(ctx, b.admin); err != nil {
		return b, err
	}
	text := rights
	for _, kind := range kinds {
		text += "---\n" + definition(kind)
	}
	if err := done(b.admin.RunInput(ctx, text, "kubectl", "apply", "--server-side", "-f", "-")); err != nil {
		return b, err
	}
	if err := done(b.admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")); err != nil {
		return b, err
	}
	if b.rivals, err = startRivals(ctx, kube, b.holdfast.Kubeconfig, b.holdfast.Namespace); err != nil {
		return b, err
	}
	return b, b.holdfast.Start(ctx)
}

func (b *bench) close() {
	var errs []error
	if b.holdfast != nil {
		errs = append(errs, b.holdfast.Stop())
	}
	if b.rivals != nil {
		errs = append(errs, b.rivals.close())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop())
	}
	if err := errors.Join(errs...); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: "+err.Error())
	}
}

func definition(kind string) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.bench.example}
spec:
  group: bench.example
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]ss, singular: %[1]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, kind, strings.ToUpper(kind[:1])+kind[1:])
}

func resource(kind string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: kind + "s"}
}

// object is of some 2.5 KB, as a tier or a database is.
func object(kind, name, uses string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": strings.ToUpper(kind[:1]) + kind[1:],
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"uses": uses, "text": strings.Repeat("0123456789abcdef ", 140)},
	}}
}

func (b *bench) create(ctx context.Context, o *unstructured.Unstructured, kind string) error {
	_, err := b.client.Resource(resource(kind)).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
	return err
}

// names are n names that nothing has had before.
func (b *bench) names(n int) []string {
	names := make([]string, n)
	for i := range names {
		b.serial++
		names[i] = fmt.Sprintf("o-%d", b.serial)
	}
	return names
}

func done(r harness.Result) error {
	if r.Code != 0 {
		return fmt.Errorf("command exited with %d: %s", r.Code, r.Stderr)
	}
	return nil
}
