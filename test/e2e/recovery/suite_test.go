// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package recovery_test tests on a real API server that objects come back:
// with 'holdfast serve' gone, through faults of the API server, and after a
// kill at every step.
package recovery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

const (
	holdfastNamespace = "holdfast-system"
	finalizer         = "cp.nuodb.com/placeholder-finalizer"
)

// What all specs share; BeforeSuite sets it. Each spec has a namespace of its own.
var (
	cluster *controlplane.Cluster
	client  dynamic.Interface
	kube    kubernetes.Interface
	admin   harness.Runner
	spaces  int
)

func TestMain(m *testing.M) {
	// The same program is the victim of the kill specs.
	if job := os.Getenv(victimJob); job != "" {
		os.Exit(victim(job))
	}
	os.Exit(m.Run())
}

func TestRecovery(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Recovery")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	client, err = dynamic.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	kube, err = kubernetes.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	binary, err := harness.Build(ctx)
	Expect(err).NotTo(HaveOccurred())
	admin = harness.Runner{Cluster: cluster, Kubeconfig: cluster.Kubeconfig, Binary: binary}
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	expectDone(admin.Kubectl(ctx, "create", "namespace", holdfastNamespace))
	// So that the garbage collector knows the CRDs.
	Expect(cluster.RestartControllerManager()).To(Succeed())
})

// newNamespace makes a namespace for one spec.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	spaces++
	name := fmt.Sprintf("recovery-%d", spaces)
	expectDone(admin.Kubectl(ctx, "create", "namespace", name))
	return name
}

// expectDone fails unless the command succeeded.
func expectDone(r harness.Result) {
	GinkgoHelper()
	Expect(r.Code).To(BeZero(), "%s%s", r.Stdout, r.Stderr)
}

// apply creates objects as people do, so that client-side apply leaves its annotation.
func apply(ctx context.Context, objects ...map[string]any) {
	GinkgoHelper()
	var docs []string
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		Expect(err).NotTo(HaveOccurred())
		docs = append(docs, string(text))
	}
	expectDone(admin.RunInput(ctx, strings.Join(docs, "---\n"), "kubectl", "apply", "-f", "-"))
}

func tierObject(namespace, name string, features ...any) map[string]any {
	return map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
		"metadata": map[string]any{
			"name": name, "namespace": namespace, "finalizers": []any{finalizer, "example.com/second"},
			"labels": map[string]any{"team": "a"}, "annotations": map[string]any{"note": "kept"},
		},
		"spec": map[string]any{"features": append([]any{}, features...), "updateStrategy": map[string]any{"type": "Immediate"}},
	}
}

func featureObject(namespace, name string) map[string]any {
	return map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": "HelmFeature",
		"metadata": map[string]any{"name": name, "namespace": namespace, "finalizers": []any{finalizer}},
		"spec":     map[string]any{"values": map[string]any{"admin": map[string]any{"replicas": int64(1)}}},
	}
}

// newTier makes a tier that has lived: with finalizers, a changed spec, and
// two revisions in the history of its status.
func newTier(ctx context.Context, namespace, name string, features ...any) *unstructured.Unstructured {
	GinkgoHelper()
	apply(ctx, tierObject(namespace, name, features...))
	expectDone(admin.Kubectl(ctx, "-n", namespace, "patch", "servicetier", name, "--type=merge", "-p", `{"spec":{"updateStrategy":{"type":"CanaryRollout"}}}`))
	expectDone(admin.Kubectl(ctx, "-n", namespace, "patch", "servicetier", name, "--type=merge", "--subresource=status", "-p", history))
	return get(ctx, harness.Tiers(), namespace, name)
}

const history = `{"status":{"history":{"revisions":[
	{"generation":1,"creationTimestamp":"2026-01-01T00:00:00Z","spec":"e30K"},
	{"generation":2,"creationTimestamp":"2026-01-02T00:00:00Z","spec":"e30K"}]}}}`

func newFeature(ctx context.Context, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	apply(ctx, featureObject(namespace, name))
	return get(ctx, harness.Features(), namespace, name)
}

func get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	obj, err := client.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return obj
}

// deleteByMistake leaves an object Terminating, held by its finalizers.
func deleteByMistake(ctx context.Context, resource, namespace, name string) {
	GinkgoHelper()
	expectDone(admin.Kubectl(ctx, "-n", namespace, "delete", resource, name, "--wait=false"))
}

// destroy takes an object away altogether.
func destroy(ctx context.Context, resource, namespace, name string) {
	GinkgoHelper()
	expectDone(admin.Kubectl(ctx, "-n", namespace, "patch", resource, name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
	expectDone(admin.Kubectl(ctx, "-n", namespace, "delete", resource, name, "--ignore-not-found"))
}

// essence is all of an object that a recovery has to keep.
func essence(obj *unstructured.Unstructured) map[string]any {
	return map[string]any{
		"labels": obj.GetLabels(), "annotations": obj.GetAnnotations(), "finalizers": obj.GetFinalizers(),
		"spec": obj.Object["spec"], "status": obj.Object["status"],
	}
}

// expectBack fails unless the object is there again: as before, a new one, not Terminating.
func expectBack(ctx context.Context, gvr schema.GroupVersionResource, before *unstructured.Unstructured) *unstructured.Unstructured {
	GinkgoHelper()
	after := get(ctx, gvr, before.GetNamespace(), before.GetName())
	Expect(after.GetUID()).NotTo(Equal(before.GetUID()), "it is the old object")
	Expect(after.GetDeletionTimestamp()).To(BeNil(), "it is Terminating")
	Expect(essence(after)).To(Equal(essence(before)))
	return after
}

// snapshotsOf lists the snapshots of one object, newest first.
func snapshotsOf(ctx context.Context, namespace, name string) []snapshot.Record {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "list", "tier", name, "-n", namespace, "-o", "json")
	expectDone(r)
	var list struct {
		Items []snapshot.Record `json:"items"`
	}
	Expect(json.Unmarshal([]byte(r.Stdout), &list)).To(Succeed())
	return list.Items
}
