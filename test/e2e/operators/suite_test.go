// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package operators tests on a real API server what depends on operators: that
// nothing is deleted while its operator is away, what an operator may not
// delete, and who may remove finalizers from what is being deleted.
package operators

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	client   dynamic.Interface
	kube     kubernetes.Interface
	admin    harness.Runner
	store    *snapshot.Store
)

func TestOperators(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Operators")
}

const (
	storesOperator = "system:serviceaccount:ops:stores"
	otherProgram   = "system:serviceaccount:ops:other"
)

// stores is a profile with an operator that it names, and a built-in kind.
const stores = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: stores}
spec:
  resources:
  - resource: crates.stores.example
    snapshot: none
    referencedBy: [{resource: pallets.stores.example, path: '{.spec.crate}'}]
  - resource: services
    referencedBy: [{resource: pallets.stores.example, path: '{.spec.service}'}]
  operators:
  - serviceAccounts: [{namespace: ops, name: stores}]
`

const storesRights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: holdfast-stores
  labels: {holdfast.dev/aggregate-to-serve: "true"}
rules:
- {apiGroups: [stores.example], resources: [crates, pallets], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [services], verbs: [get, list, watch]}
`

// storesCRD defines a namespaced kind of group stores.example.
const storesCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.stores.example}
spec:
  group: stores.example
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]s, singular: %[3]s}
  versions:
  - {name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v2, served: true, storage: false, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	client, err = dynamic.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	kube, err = kubernetes.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())

	holdfast, err = harness.Install(ctx, cluster, harness.Options{
		Profiles:     []string{"astarte", "nuodb"},
		ProfileFiles: map[string]string{"stores.yaml": stores},
	})
	Expect(err).NotTo(HaveOccurred())
	store, err = snapshot.NewStore(kube, meta, holdfast.Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	admin = holdfast.Admin()
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	for plural, kind := range map[string]string{"crates": "Crate", "pallets": "Pallet"} {
		installKind(ctx, plural, kind)
	}
	must.Apply(ctx, admin, storesRights)
	Expect(harness.Operator{Namespace: "ops", Release: "stores"}.Install(ctx, admin)).To(Succeed())
	Expect(harness.Operator{Namespace: "ops", Release: "other"}.Install(ctx, admin)).To(Succeed())
	Expect(holdfast.Start(ctx)).To(Succeed())
	DeferCleanup(func() { Expect(holdfast.Stop()).To(Succeed()) })
	Eventually(registered).WithArguments(ctx).Should(ContainSubstring("'" + storesOperator + "'"))
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// registered is the configuration that Holdfast has registered, as text.
func registered(ctx context.Context) string {
	GinkgoHelper()
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(config.Webhooks)
	Expect(err).NotTo(HaveOccurred())
	return strings.ReplaceAll(string(text), `\u0026`, "&")
}

func installKind(ctx context.Context, plural, kind string) {
	GinkgoHelper()
	must.Apply(ctx, admin, fmt.Sprintf(storesCRD, plural, kind, strings.ToLower(kind)))
	served(ctx, plural+".stores.example")
}

// served waits until the kind of a definition can be listed.
func served(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		r := admin.Kubectl(ctx, "get", name, "-A")
		g.Expect(r.Code).To(BeZero(), r.Stderr)
	}).Should(Succeed())
}

// installAstarte makes the kinds of one version of the operator known, without
// its conversion webhook, and returns their names.
func installAstarte(ctx context.Context, version string) []string {
	GinkgoHelper()
	path, err := harness.Testdata(ctx, "astarte", "crds-"+version+".yaml")
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(filepath.Clean(path))
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(doc), &crd.Object)).To(Succeed())
		unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
		unstructured.RemoveNestedField(crd.Object, "metadata", "annotations")
		unstructured.RemoveNestedField(crd.Object, "metadata", "labels")
		out, err := yaml.Marshal(crd.Object)
		Expect(err).NotTo(HaveOccurred())
		must.Apply(ctx, admin, string(out))
		names = append(names, crd.GetName())
	}
	for _, name := range names {
		served(ctx, name)
	}
	return names
}

func crateKind() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "stores.example", Version: "v1", Resource: "crates"}
}

func coreKind(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// as is a client that makes requests under another name, with all rights.
func as(user string) dynamic.Interface {
	GinkgoHelper()
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	c, err := dynamic.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return c
}

// savedOf are the snapshots of one object.
func savedOf(ctx context.Context, uid types.UID) []snapshot.Record {
	GinkgoHelper()
	records, err := store.List(ctx, snapshot.Filter{UID: uid})
	Expect(err).NotTo(HaveOccurred())
	return records
}

// holdfastDown kills Holdfast for the rest of the spec.
func holdfastDown() {
	GinkgoHelper()
	Expect(holdfast.Kill()).To(Succeed())
	DeferCleanup(holdfastUp)
}

func holdfastUp(ctx SpecContext) {
	GinkgoHelper()
	if !holdfast.Running() {
		Expect(holdfast.Start(ctx)).To(Succeed())
	}
}

// claim creates a PersistentVolumeClaim.
func claim(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	must.Create(ctx, admin, namespace, fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}", name))
}

// isGoing says that a claim is gone or about to go.
func isGoing(ctx context.Context, namespace, name string) bool {
	GinkgoHelper()
	c, err := kube.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true
	}
	Expect(err).NotTo(HaveOccurred())
	return c.DeletionTimestamp != nil || c.Status.Phase == corev1.ClaimLost
}
