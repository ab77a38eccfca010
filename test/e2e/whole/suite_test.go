// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package whole tests on a real API server that the things around guarded
// objects are kept too: the definitions that they are made of, the namespaces
// that hold them, and the releases of their operators.
package whole

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// What all specs share; BeforeSuite sets it. Each spec has namespaces, and
// where it needs some, definitions of its own.
var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	client   dynamic.Interface
	kube     kubernetes.Interface
	admin    harness.Runner
)

func TestWhole(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(40 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Whole")
}

// stores is a profile whose kinds come in every shape that the specs need.
const stores = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: stores}
spec:
  resources:
  - {resource: crates.stores.example, namespaces: {blockWhileHolding: any}}
  - {resource: shelves.stores.example, namespaces: {blockWhileHolding: any}}
  - {resource: labels.stores.example, namespaces: {blockWhileHolding: never}}
  - {resource: drafts.stores.example, mode: audit, namespaces: {blockWhileHolding: any}}
  - resource: regions.stores.example
    referencedBy: [{resource: crates.stores.example, path: '{.spec.region}'}]
`

const storesRights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: holdfast-stores
  labels: {holdfast.dev/aggregate-to-serve: "true"}
rules:
- apiGroups: [stores.example]
  resources: [crates, shelves, labels, drafts, regions]
  verbs: [get, list, watch]
`

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client, kube, admin = stage.Cluster, stage.Client, stage.Kube, stage.Admin
	holdfast, err = stage.Install(ctx, harness.Options{
		Profiles:     []string{"astarte", "nuodb"},
		ProfileFiles: map[string]string{"stores.yaml": stores},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Apply(ctx, admin, storesRights)
	Expect(holdfast.Start(ctx)).To(Succeed())
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// install makes a kind of group stores.example known: scope Namespaced or Cluster.
func install(ctx context.Context, plural, kind, scope string) {
	GinkgoHelper()
	must.Apply(ctx, admin, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.stores.example}
spec:
  group: stores.example
  scope: %[3]s
  names: {kind: %[2]s, plural: %[1]s, singular: %[4]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, plural, kind, scope, strings.ToLower(kind)))
	Expect(harness.Served(ctx, cluster.Config, plural+".stores.example")).To(Succeed())
}

// uninstall removes the instances of a kind and the kind, however it was left.
func uninstall(ctx context.Context, plural string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		admin.Kubectl(ctx, "delete", plural+".stores.example", "--all", "-A", "--wait=false") // it need not be there
		r := admin.Kubectl(ctx, "delete", "crd", plural+".stores.example", "--ignore-not-found")
		g.Expect(r.Code).To(BeZero(), r.Stderr)
	}).Should(Succeed())
}

func storesKind(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "stores.example", Version: "v1", Resource: plural}
}

// put creates an object of group stores.example.
func put(ctx context.Context, kind, namespace, name string) {
	GinkgoHelper()
	must.Succeed(admin.RunInput(ctx, fmt.Sprintf("{apiVersion: stores.example/v1, kind: %s, metadata: {name: %s, namespace: %q}, spec: {}}", kind, name, namespace), "kubectl", "create", "-f", "-"))
}

// expectUntouched fails unless the object is there and not being deleted.
func expectUntouched(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) {
	GinkgoHelper()
	o := must.Object(ctx, client, resource, namespace, name)
	Expect(o).NotTo(BeNil(), "%s %s is gone", resource.Resource, name)
	Expect(o.GetDeletionTimestamp()).To(BeNil(), "%s %s is being deleted", resource.Resource, name)
}

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

func namespaces() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
}

// statusOf is the API server's whole answer to a refused request.
func statusOf(err error) metav1.Status {
	GinkgoHelper()
	Expect(err).To(HaveOccurred())
	var status apierrors.APIStatus
	Expect(errors.As(err, &status)).To(BeTrue(), "%v", err)
	return status.Status()
}

// saved are the objects of one resource of which there are snapshots, as
// namespace/name. One object may have several: it is saved before its deletion,
// and once more when its last finalizer goes, if it has changed until then.
func saved(ctx context.Context, resource string) []string {
	GinkgoHelper()
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())
	store, err := snapshot.NewStore(kube, meta, holdfast.Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	records, err := store.List(ctx, snapshot.Filter{})
	Expect(err).NotTo(HaveOccurred())
	var names []string
	seen := map[types.UID]bool{}
	for _, r := range records {
		if r.Resource == resource && !seen[r.UID] {
			seen[r.UID] = true
			names = append(names, r.Namespace+"/"+r.Name)
		}
	}
	return names
}

// webhooks is the configuration that Holdfast has registered.
func webhooks(ctx context.Context) *admissionregistrationv1.ValidatingWebhookConfiguration {
	GinkgoHelper()
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return config
}

// listed tells whether the API server has been told that namespace holds
// guarded objects.
func listed(ctx context.Context, namespace string) bool {
	GinkgoHelper()
	for _, w := range webhooks(ctx).Webhooks {
		for _, c := range w.MatchConditions {
			if w.Name == "namespace.holdfast.dev" && strings.Contains(c.Expression, "'"+namespace+"'") {
				return true
			}
		}
	}
	return false
}

// awaitListed returns when the API server goes by the list that has namespace in
// it, the deletion of which must be refused or impossible. Until then the deletion is sent to an entry that may be skipped when
// Holdfast takes longer than a second, as on a machine that is busy otherwise.
func awaitListed(ctx context.Context, namespace string) {
	GinkgoHelper()
	Eventually(listed).WithArguments(ctx, namespace).Should(BeTrue())
	Eventually(func() error {
		return kube.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}).Should(MatchError(ContainSubstring(`webhook "namespace.holdfast.dev"`)))
}

// holdfastDown kills Holdfast for the rest of the spec.
func holdfastDown(ctx context.Context) {
	GinkgoHelper()
	Expect(holdfast.Kill()).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		if !holdfast.Running() {
			Expect(holdfast.Start(ctx)).To(Succeed())
		}
	})
	Expect(ctx.Err()).NotTo(HaveOccurred())
}

// file writes text where kubectl and helm can read it.
func file(name, text string) string {
	GinkgoHelper()
	path := GinkgoT().TempDir() + "/" + name
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	return path
}
