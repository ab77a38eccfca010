// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard tests on a real API server what Holdfast refuses and what it
// lets go: with the chart's rights, the very webhook configuration that it
// registers, and real kubectl.
package guard

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
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

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	client   dynamic.Interface
	kube     kubernetes.Interface
	admin    harness.Runner
)

// eventually is how long a thing may take that is to happen, on a busy machine.
const eventually = 30 * time.Second

func TestGuard(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(eventually)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Guard")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client, kube, admin = stage.Cluster, stage.Client, stage.Kube, stage.Admin
	holdfast, err = stage.Install(ctx, harness.Options{
		Profiles:     []string{"nuodb"},
		ProfileFiles: map[string]string{"billing.yaml": read(ctx, "billing", "profile.yaml")},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Apply(ctx, admin, read(ctx, "billing", "crds.yaml"))
	must.Apply(ctx, admin, read(ctx, "billing", "rights.yaml"))
	Expect(harness.Served(ctx, cluster.Config, "plans.billing.example", "regions.billing.example")).To(Succeed())
	// So that the garbage collector knows the CRDs.
	Expect(cluster.RestartControllerManager()).To(Succeed())

	Expect(holdfast.Start(ctx)).To(Succeed())
	subscriptions := schema.GroupResource{Group: "billing.example", Resource: "subscriptions"}
	Eventually(mayList).WithArguments(ctx, subscriptions).Should(BeTrue(), "the aggregated role")
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// read is the text of a file in testdata.
func read(ctx context.Context, elements ...string) string {
	GinkgoHelper()
	path, err := harness.Testdata(ctx, elements...)
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// mayList tells whether Holdfast's service account may list a resource.
func mayList(ctx context.Context, resource schema.GroupResource) (bool, error) {
	review, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + holdfast.Namespace + ":holdfast",
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Group: resource.Group, Resource: resource.Resource},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// create makes an object of YAML text in which NS stands for the namespace.
func create(ctx context.Context, namespace, text string) {
	GinkgoHelper()
	r := admin.RunInput(ctx, strings.ReplaceAll(text, "NS", namespace), "kubectl", "create", "-n", namespace, "-f", "-")
	must.Succeed(r)
}

// expectUntouched fails unless the object is there and not being deleted.
func expectUntouched(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) {
	GinkgoHelper()
	o := must.Object(ctx, client, resource, namespace, name)
	Expect(o).NotTo(BeNil(), "%s %s is gone", resource.Resource, name)
	Expect(o.GetDeletionTimestamp()).To(BeNil(), "%s %s is being deleted", resource.Resource, name)
}

// snapshots are the saved versions of the objects in a namespace.
func snapshots(ctx context.Context, namespace string) []snapshot.Record {
	GinkgoHelper()
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())
	store, err := snapshot.NewStore(kube, meta, holdfast.Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	records, err := store.List(ctx, snapshot.Filter{Namespace: namespace})
	Expect(err).NotTo(HaveOccurred())
	return records
}

// savedNames are the names of what was saved from a namespace.
func savedNames(ctx context.Context, namespace string) []string {
	GinkgoHelper()
	var names []string
	for _, r := range snapshots(ctx, namespace) {
		names = append(names, r.Name)
	}
	return names
}

func plans(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "billing.example", Version: version, Resource: "plans"}
}

func regions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "billing.example", Version: "v1", Resource: "regions"}
}
