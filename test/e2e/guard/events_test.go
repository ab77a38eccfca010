// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// eventsAbout are Holdfast's Events in a namespace about objects of that name.
func eventsAbout(ctx SpecContext, namespace, name string) []corev1.Event {
	GinkgoHelper()
	list, err := kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reportingComponent=holdfast,involvedObject.name=" + name})
	Expect(err).NotTo(HaveOccurred())
	return list.Items
}

var _ = Describe("An Event", func() {
	It("tells with the object of a refusal, and later of what was saved; a dry-run tells nothing", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: used, finalizers: [example.com/hold]}, spec: {}}")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used}}}}")
		Expect(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace, "--dry-run=server").Code).To(Equal(1))
		Expect(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace).Code).To(Equal(1))
		Eventually(eventsAbout).WithArguments(ctx, namespace, "used").Should(HaveLen(1))
		e := eventsAbout(ctx, namespace, "used")[0]
		Expect(e.Type).To(Equal("Warning"))
		Expect(e.Reason).To(Equal("DeletionRefused"))
		Expect(e.Count).To(BeEquivalentTo(1), "the dry-run was told too")
		Expect(e.Message).To(And(ContainSubstring("is in use by 1 object: database "+namespace+"/user"), HaveSuffix("(asked for by admin)")))
		Expect(e.InvolvedObject.Kind).To(Equal("ServiceTier"))
		Expect(e.InvolvedObject.UID).To(Equal(must.Object(ctx, client, harness.Tiers(), namespace, "used").GetUID()))
		r := admin.Kubectl(ctx, "describe", "tier", "used", "-n", namespace)
		must.Succeed(r)
		Expect(r.Stdout).To(MatchRegexp(`Warning +DeletionRefused .* holdfast +servicetier %s/used is in use`, namespace))

		By("again and again, in one that counts")
		for range 3 {
			Expect(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace).Code).To(Equal(1))
		}
		Eventually(eventsAbout).WithArguments(ctx, namespace, "used").Should(ConsistOf(HaveField("Count", BeEquivalentTo(4))))

		By("when it is let go, while it is still there")
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "user", "-n", namespace))
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace, "--wait=false"))
		Eventually(eventsAbout).WithArguments(ctx, namespace, "used").Should(ContainElement(And(
			HaveField("Type", "Normal"), HaveField("Reason", "SavedBeforeDeletion"), HaveField("Message", ContainSubstring(snapshots(ctx, namespace)[0].ID)))))
		must.Succeed(admin.Kubectl(ctx, "patch", "tier", "used", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
	})

	It("about what is cluster-scoped is in namespace default, as all of that kind", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		Expect(admin.Kubectl(ctx, "delete", "crd", "servicetiers.cp.nuodb.com").Code).To(Equal(1))
		Eventually(eventsAbout).WithArguments(ctx, "default", "servicetiers.cp.nuodb.com").Should(ContainElement(
			HaveField("Message", ContainSubstring("customresourcedefinition servicetiers.cp.nuodb.com has"))))
	})

	It("about what goes with its namespace is in Holdfast's", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		name := fmt.Sprintf("goes-with-%s", namespace)
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: "+name+", finalizers: [example.com/hold]}, spec: {}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", namespace, "--wait=false"))
		Eventually(eventsAbout).WithArguments(ctx, holdfast.Namespace, name).WithTimeout(2 * eventually).Should(ContainElement(And(
			HaveField("Reason", "SavedBeforeDeletion"),
			HaveField("InvolvedObject.Namespace", namespace),
			HaveField("Message", ContainSubstring("system:serviceaccount:kube-system:namespace-controller")))))
		must.Succeed(admin.Kubectl(ctx, "patch", "tier", name, "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
	})
})
