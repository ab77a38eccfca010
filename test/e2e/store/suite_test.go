// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package store tests on a real API server that what Holdfast keeps can be
// relied on: large and odd objects, bounds of the history, faults of the store,
// secrecy, and what protects the snapshots themselves.
package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const profile = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: store}
spec:
  resources:
  - {resource: notes.store.example}
  - {resource: drafts.store.example, snapshot: bestEffort}
  - {resource: secrets}
  - {resource: clusterroles.rbac.authorization.k8s.io}
`

const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.store.example}
spec:
  group: store.example
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]ss, singular: %[1]s}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
`

const rights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: holdfast-store, labels: {holdfast.dev/aggregate-to-serve: "true"}}
rules:
- {apiGroups: [store.example], resources: [notes, drafts], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [get, list, watch]}
`

// What all specs share; BeforeSuite sets it. Each spec has a namespace of its own.
var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	client   dynamic.Interface
	kube     kubernetes.Interface
	store    *snapshot.Store
	admin    harness.Runner
)

func notes() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "store.example", Version: "v1", Resource: "notes"}
}

func drafts() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "store.example", Version: "v1", Resource: "drafts"}
}

func secrets() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
}

func TestStore(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Store")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{AuditLog: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	client, err = dynamic.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	kube, err = kubernetes.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())

	holdfast, err = harness.Install(ctx, cluster, harness.Options{
		ProfileFiles: map[string]string{"store.yaml": profile},
		Values:       map[string]any{"verbosity": 1, "retention": map[string]any{"versions": 10, "bytes": "256Mi", "age": "0s", "every": "1s"}},
	})
	Expect(err).NotTo(HaveOccurred())
	store, err = snapshot.NewStore(kube, meta, holdfast.Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	admin = holdfast.Admin()
	must.Apply(ctx, admin, fmt.Sprintf(crd, "note", "Note")+fmt.Sprintf(crd, "draft", "Draft")+rights)
	for _, name := range []string{"notes", "drafts"} {
		must.Succeed(admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd", name+".store.example"))
	}
	Expect(holdfast.Start(ctx)).To(Succeed())
	DeferCleanup(func() { Expect(holdfast.Stop()).To(Succeed()) })
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// create makes a Note or a Draft with that spec, and returns it as it is then.
func create(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	GinkgoHelper()
	kind := map[string]string{"notes": "Note", "drafts": "Draft"}[resource.Resource]
	made, err := client.Resource(resource).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "store.example/v1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
	}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return made
}

// remove deletes an object.
func remove(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) error {
	return client.Resource(resource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// saved are the records of one object.
func saved(ctx context.Context, obj *unstructured.Unstructured) []snapshot.Record {
	GinkgoHelper()
	records, err := store.List(ctx, snapshot.Filter{UID: obj.GetUID()})
	Expect(err).NotTo(HaveOccurred())
	return records
}

func schemaNamespaces() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
}
