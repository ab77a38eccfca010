// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

const (
	// library is the namespace of the set.
	library = "library"
	shelves = "shelves.bench.example"

	shelfProfile = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: shelves}
spec:
  resources:
  - resource: shelves.bench.example
    restore: {order: 20}
    closure:
    - {resource: secrets, ownedBy: true, beforeOwner: true}
    - {resource: configmaps, ownedBy: true}
    - {resource: customresourcedefinitions.apiextensions.k8s.io, name: shelves.bench.example}
`
	shelfDefinition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shelves.bench.example}
spec:
  group: bench.example
  scope: Namespaced
  names: {kind: Shelf, plural: shelves, singular: shelf}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`
)

// measureRestore measures the restore of a set of n objects that are gone.
func measureRestore(ctx context.Context, admin harness.Runner, n int) ([]string, error) {
	file := filepath.Join(admin.Cluster.Dir, "shelves.yaml")
	if err := os.WriteFile(file, []byte(shelfProfile), 0o600); err != nil {
		return nil, err
	}
	if r := admin.RunInput(ctx, shelfDefinition, "kubectl", "create", "-f", "-"); r.Code != 0 {
		return nil, errors.New(r.Stderr)
	}
	if err := harness.Served(ctx, admin.Cluster.Config, shelves); err != nil {
		return nil, err
	}
	if err := fill(ctx, admin, n); err != nil {
		return nil, err
	}
	r := admin.Holdfast(ctx, "recovery", "snapshot", shelves, "one", "-n", library, "--profile-file", file, "-o", "json")
	var taken struct {
		Items []struct{ Set struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(r.Stdout), &taken); err != nil || len(taken.Items) == 0 {
		return nil, fmt.Errorf("save the set: %s", r.Output)
	}
	for _, args := range [][]string{{"crd", shelves}, {"secrets", "-l", "shelf=one", "-n", library}, {"configmaps", "-l", "shelf=one", "-n", library}} {
		if r := admin.Kubectl(ctx, append([]string{"delete"}, args...)...); r.Code != 0 {
			return nil, errors.New(r.Stderr)
		}
	}
	return timedRestore(ctx, admin, file, taken.Items[0].Set.ID)
}

// fill makes a set of n objects with its definition.
func fill(ctx context.Context, admin harness.Runner, n int) error {
	client, err := dynamic.NewForConfig(admin.Cluster.Config)
	if err != nil {
		return err
	}
	gr := schema.ParseGroupResource(shelves)
	owner, err := client.Resource(gr.WithVersion("v1")).Namespace(library).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "bench.example/v1", "kind": "Shelf", "metadata": map[string]any{"name": "one"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n - 2 {
		kind, data := "Secret", "c29tZXRoaW5n"
		if i%2 == 1 {
			kind, data = "ConfigMap", strings.Repeat("something ", 100)
		}
		group.Go(func() error {
			_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(kind) + "s"}).Namespace(library).Create(creating, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": kind, "data": map[string]any{"value": data},
				"metadata": map[string]any{
					"name": fmt.Sprintf("part-%d", i), "labels": map[string]any{"shelf": "one"},
					"ownerReferences": []any{map[string]any{"apiVersion": "bench.example/v1", "kind": "Shelf", "name": "one", "uid": string(owner.GetUID())}},
				},
			}}, metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// timedRestore brings the set back, and counts.
func timedRestore(ctx context.Context, admin harness.Runner, file, id string) ([]string, error) {
	calls := &counting{n: map[string]int{}}
	config := rest.CopyConfig(admin.Cluster.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { calls.next = next; return calls })
	r, kube, err := newRecovery(config)
	if err != nil {
		return nil, err
	}
	profiles, err := profile.File(file)
	if err != nil {
		return nil, err
	}
	if r.Profiles, err = profile.NewSet(profiles...); err != nil {
		return nil, err
	}
	keeper := &journal.Keeper{Kube: kube, Namespace: holdfastNamespace, Dir: filepath.Join(admin.Cluster.Dir, "restore"), Self: journal.Self("bench"), Now: time.Now}
	began := time.Now()
	plan, err := r.PlanRestoreSet(ctx, id, recovery.RestoreOptions{})
	if err != nil {
		return nil, err
	}
	planned := time.Since(began)
	work, working, err := keeper.Open(ctx, recovery.OperationRestore, plan.Set.Path(), "bench")
	if err != nil {
		return nil, err
	}
	for _, o := range r.Run(working, plan, func(*recovery.Outcome) {}) {
		if o.Result != recovery.ResultDone {
			return nil, fmt.Errorf("%s: %s: %s", o, o.Result, o.Reason)
		}
	}
	if err := work.Close(ctx); err != nil {
		return nil, err
	}
	took := time.Since(began)
	what := fmt.Sprintf("restore of a set of %d objects", len(plan.Items))
	return []string{
		row(what+": requests", calls.String(), "-"),
		row(what+": time", took.Round(10*time.Millisecond).String(), "-"),
		row("of that, the plan", planned.Round(10*time.Millisecond).String(), "-"),
	}, nil
}
