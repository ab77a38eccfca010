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
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
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
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client, kube, admin = stage.Cluster, stage.Client, stage.Kube, stage.Admin
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Succeed(admin.Kubectl(ctx, "create", "namespace", holdfastNamespace))
	// So that the garbage collector knows the CRDs.
	Expect(cluster.RestartControllerManager()).To(Succeed())
})

// newNamespace makes a namespace for one spec.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	spaces++
	name := fmt.Sprintf("recovery-%d", spaces)
	_, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return name
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
	must.Succeed(admin.RunInput(ctx, strings.Join(docs, "---\n"), "kubectl", "apply", "-f", "-"))
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
	create(ctx, harness.Tiers(), tierObject(namespace, name, features...))
	return age(ctx, namespace, name)
}

// age gives a tier a past.
func age(ctx context.Context, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	tiers := client.Resource(harness.Tiers()).Namespace(namespace)
	_, err := tiers.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"updateStrategy":{"type":"CanaryRollout"}}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	tier, err := tiers.Patch(ctx, name, types.MergePatchType, []byte(history), metav1.PatchOptions{}, "status")
	Expect(err).NotTo(HaveOccurred())
	return tier
}

func create(ctx context.Context, gvr schema.GroupVersionResource, object map[string]any) *unstructured.Unstructured {
	GinkgoHelper()
	obj := &unstructured.Unstructured{Object: object}
	made, err := client.Resource(gvr).Namespace(obj.GetNamespace()).Create(ctx, obj, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return made
}

const history = `{"status":{"history":{"revisions":[
	{"generation":1,"creationTimestamp":"2026-01-01T00:00:00Z","spec":"e30K"},
	{"generation":2,"creationTimestamp":"2026-01-02T00:00:00Z","spec":"e30K"}]}}}`

func newFeature(ctx context.Context, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	return create(ctx, harness.Features(), featureObject(namespace, name))
}

func get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	obj, err := client.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return obj
}

// resourceOf is the resource that the specs call by its kind.
func resourceOf(kind string) schema.GroupVersionResource {
	switch kind {
	case "servicetier":
		return harness.Tiers()
	case "helmfeature":
		return harness.Features()
	}
	panic(kind)
}

// deleteByMistake leaves an object Terminating, held by its finalizers.
func deleteByMistake(ctx context.Context, kind, namespace, name string) {
	GinkgoHelper()
	Expect(client.Resource(resourceOf(kind)).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
}

// destroy takes a tier away altogether.
func destroy(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	objects := client.Resource(harness.Tiers()).Namespace(namespace)
	_, err := objects.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	if err := objects.Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		Expect(err).NotTo(HaveOccurred())
	}
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

// dump is every object of a spec's namespace and of Holdfast's, but for what
// the namespace controllers put into a new one when they get to it.
func dump(ctx context.Context, space string) map[string]string {
	GinkgoHelper()
	all, err := harness.Dump(ctx, cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	maps.DeleteFunc(all, func(key, _ string) bool {
		ours := strings.Contains(key, "/"+space+"/") || strings.Contains(key, "/"+holdfastNamespace+"/")
		return !ours || strings.HasPrefix(key, "serviceaccounts/") || strings.HasSuffix(key, "/kube-root-ca.crt")
	})
	return all
}

// snapshotsOf lists the snapshots of one object, newest first.
func snapshotsOf(ctx context.Context, namespace, name string) []snapshot.Record {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "list", "tier", name, "-n", namespace, "-o", "json")
	must.Succeed(r)
	var list struct {
		Items []snapshot.Record `json:"items"`
	}
	Expect(json.Unmarshal([]byte(r.Stdout), &list)).To(Succeed())
	return list.Items
}
