// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package sets tests on a real API server that everything a restore needs is
// saved together, is saved at all times, and that what went past Holdfast is noticed.
package sets

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var update = flag.Bool("update", false, "write the golden lists anew")

// What all specs share; BeforeSuite sets it.
var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	client   dynamic.Interface
	kube     kubernetes.Interface
	store    *snapshot.Store
	admin    harness.Runner
)

func TestSets(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Sets")
}

// stores is a profile whose definitions may go with their instances.
const stores = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: stores}
spec:
  crds: {blockWhileInstancesExist: false}
  namespaces: {blockWhileHolding: never}
  resources:
  - {resource: crates.stores.example, closure: [{resource: configmaps, ownedBy: true}]}
  - {resource: pallets.stores.example}
`

const storesRights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: holdfast-stores, labels: {holdfast.dev/aggregate-to-serve: "true"}}
rules:
- {apiGroups: [stores.example], resources: [crates, pallets], verbs: [get, list, watch]}
`

const (
	// house is the namespace of Astartes whose Secrets may be read, operators
	// that of their operator's release.
	house, operators = "astarte", "operators"
)

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	client, err = dynamic.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	kube, err = kubernetes.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	admin = harness.Runner{Cluster: cluster, Kubeconfig: cluster.Kubeconfig}
	for _, namespace := range []string{house, operators} {
		must.Succeed(admin.Kubectl(ctx, "create", "namespace", namespace))
	}
	holdfast, err = harness.Install(ctx, cluster, harness.Options{
		Profiles:     []string{"astarte", "nuodb"},
		ProfileFiles: map[string]string{"stores.yaml": stores},
		Values:       map[string]any{"continuousBackup": true, "secretNamespaces": []string{house, operators}},
	})
	Expect(err).NotTo(HaveOccurred())
	admin = holdfast.Admin()
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())
	store, err = snapshot.NewStore(kube, meta, holdfast.Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Apply(ctx, admin, storesRights)
	for plural, kind := range map[string]string{"crates": "Crate", "pallets": "Pallet"} {
		define(ctx, plural, kind)
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

// define makes a kind of group stores.example known.
func define(ctx context.Context, plural, kind string) {
	GinkgoHelper()
	must.Apply(ctx, admin, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.stores.example}
spec:
  group: stores.example
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]s, singular: %[3]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, plural, kind, strings.ToLower(kind)))
	Eventually(func() int {
		return admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd", plural+".stores.example").Code
	}).Should(BeZero())
}

func stored(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "stores.example", Version: "v1", Resource: plural}
}

// uidOf is the UID of an object that is there.
func uidOf(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) string {
	GinkgoHelper()
	o, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return string(o.GetUID())
}

// latestSet is the newest set of an object, empty if there is none.
func latestSet(ctx context.Context, gr, namespace, name string) snapshot.SetRecord {
	GinkgoHelper()
	sets, err := store.Sets(ctx, snapshot.Filter{Resource: schema.ParseGroupResource(gr), Namespace: namespace, Name: name})
	Expect(err).NotTo(HaveOccurred())
	if len(sets) == 0 {
		return snapshot.SetRecord{}
	}
	return sets[0]
}

// membersOf are the members of a set, and whether each is saved or named only.
// Every saved one must be readable, and of the object that it says.
func membersOf(ctx context.Context, id string) []string {
	GinkgoHelper()
	set, err := store.Set(ctx, id)
	Expect(err).NotTo(HaveOccurred())
	var lines []string
	for _, m := range set.Members {
		line := m.String()
		if m.Snapshot == "" {
			line += " (name)"
			if m.Revision != "" {
				line += " pinned to " + m.Revision
			}
		} else {
			snap, err := store.Get(ctx, m.Snapshot)
			Expect(err).NotTo(HaveOccurred())
			Expect(snap.Object.GetUID()).To(Equal(m.UID))
		}
		lines = append(lines, line)
	}
	return lines
}
