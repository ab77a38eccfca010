// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

func deleteNow() metav1.DeleteOptions { return metav1.DeleteOptions{} }

// withoutRight applies rights in which the one to list a resource is missing,
// and puts all back at the end of the spec.
func withoutRight(ctx context.Context, without, with, resource string) {
	GinkgoHelper()
	gr := schema.ParseGroupResource(resource)
	set := func(ctx context.Context, rights string, may bool) {
		must.Succeed(admin.RunInput(ctx, rights, "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"))
		Eventually(mayList).WithArguments(ctx, gr).Should(Equal(may), resource)
	}
	DeferCleanup(set, with, true)
	set(ctx, without, false)
}

// When a guarded object cannot be saved, it is not deleted.
var _ = Describe("Without a place to save to", func() {
	// refused deletes an unused tier and expects to be told why that cannot be.
	refused := func(ctx SpecContext, why string) {
		GinkgoHelper()
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		create(ctx, namespace, feature)
		for _, resource := range []schema.GroupVersionResource{harness.Tiers(), harness.Features()} {
			status := statusOf(client.Resource(resource).Namespace(namespace).Delete(ctx, "used", deleteNow()))
			Expect(status.Code).To(BeEquivalentTo(500))
			Expect(status.Message).To(And(ContainSubstring("could not save"), ContainSubstring("nothing was changed"), ContainSubstring(why)))
			err := client.Resource(resource).Namespace(namespace).DeleteCollection(ctx, deleteNow(), metav1.ListOptions{})
			Expect(statusOf(err).Code).To(BeEquivalentTo(500))
			expectUntouched(ctx, resource, namespace, "used")
		}
	}

	It("because the quota is used up, nothing guarded is deleted", func(ctx SpecContext) {
		const quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: full}, spec: {hard: {count/secrets: '0'}}}"
		must.Succeed(admin.RunInput(ctx, quota, "kubectl", "create", "-n", holdfast.Namespace, "-f", "-"))
		DeferCleanup(func(ctx SpecContext) {
			must.Succeed(admin.Kubectl(ctx, "delete", "resourcequota", "full", "-n", holdfast.Namespace))
		})
		Eventually(func() error {
			return kube.CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/" + holdfast.Namespace + "/resourcequotas/full").Do(ctx).Error()
		}).Should(Succeed())
		refused(ctx, "exceeded quota: full")
	})

	It("because the right is taken away, nothing guarded is deleted", func(ctx SpecContext) {
		must.Succeed(admin.Kubectl(ctx, "delete", "rolebinding", "holdfast", "-n", holdfast.Namespace))
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Apply(ctx)).To(Succeed()) })
		refused(ctx, "forbidden")
	})

	It("because the namespace is gone, nothing guarded is deleted", func(ctx SpecContext) {
		DeferCleanup(func(ctx SpecContext) {
			Expect(holdfast.Apply(ctx)).To(Succeed())
			// The old token died with its service account.
			Expect(holdfast.Stop()).To(Succeed())
			Expect(holdfast.Start(ctx)).To(Succeed())
		})
		// It holds the last copy of what is deleted here.
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace))
		r := admin.Kubectl(ctx, "delete", "namespace", holdfast.Namespace, "--wait=false")
		Expect(r.Stderr).To(ContainSubstring("holds the latest copies of objects that are gone"))
		must.Succeed(admin.Holdfast(ctx, "approve", "namespaces", holdfast.Namespace, "--reason", "it is a test", "--yes"))
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", holdfast.Namespace, "--wait=false"))
		By("while it goes")
		refusedAtAll(ctx)
		Eventually(func() error {
			_, err := kube.CoreV1().Namespaces().Get(ctx, holdfast.Namespace, metav1.GetOptions{})
			return err
		}).WithTimeout(time.Minute).Should(Satisfy(apierrors.IsNotFound))
		By("when it is gone")
		refusedAtAll(ctx)
		By("and not for a process that starts then")
		Expect(holdfast.Kill()).To(Succeed())
		refusedAtAll(ctx)
	})
})

// refusedAtAll deletes an unused tier and expects that it stays, whatever the
// reason: with its namespace Holdfast loses its identity too.
func refusedAtAll(ctx SpecContext) {
	GinkgoHelper()
	namespace := must.Namespace(ctx, admin, "team")
	create(ctx, namespace, tier)
	status := statusOf(client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", deleteNow()))
	Expect(status.Code).To(BeEquivalentTo(500), status.Message)
	expectUntouched(ctx, harness.Tiers(), namespace, "used")
}
