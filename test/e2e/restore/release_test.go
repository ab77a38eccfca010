// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const depot = "depot"

func helms() []string { return []string{"helm3", "helm4"} }

// statusOf is what Helm says about a release, "" when it knows none.
func statusOf(ctx context.Context, helm, namespace string) string {
	GinkgoHelper()
	r := admin.Run(ctx, helm, "list", "-a", "-n", namespace, "-o", "json")
	if helm == "helm4" { // it lists all by itself
		r = admin.Run(ctx, helm, "list", "-n", namespace, "-o", "json")
	}
	must.Succeed(r)
	var list []struct{ Name, Revision, Status string }
	Expect(json.Unmarshal([]byte(r.Stdout), &list)).To(Succeed())
	if len(list) == 0 {
		return ""
	}
	return list[0].Revision + " " + list[0].Status
}

// history is what Helm says of the revisions, oldest first.
func history(ctx context.Context, helm, namespace string) []string {
	GinkgoHelper()
	r := admin.Run(ctx, helm, "history", depot, "-n", namespace, "-o", "json")
	must.Succeed(r)
	var list []struct {
		Revision int
		Status   string
	}
	Expect(json.Unmarshal([]byte(r.Stdout), &list)).To(Succeed())
	var lines []string
	for _, one := range list {
		lines = append(lines, fmt.Sprintf("%d %s", one.Revision, one.Status))
	}
	return lines
}

// installed installs the depot twice, so that it has a history, and saves it.
func installed(ctx context.Context, helm, keep string) (namespace, group, chart string) {
	GinkgoHelper()
	namespace = must.Namespace(ctx, admin, "place")
	group = namespace + ".example"
	chart = newChart(group, keep)
	must.Succeed(admin.Run(ctx, helm, "install", depot, chart, "-n", namespace))
	must.Succeed(admin.Run(ctx, helm, "upgrade", depot, chart, "-n", namespace, "--set", "level=two"))
	saveReleases(ctx, namespace)
	return namespace, group, chart
}

func restoreRelease(ctx context.Context, namespace string) string {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace, "--yes")
	must.Succeed(r)
	return r.Output
}

// expectWhole fails unless every object of the depot is there.
func expectWhole(ctx context.Context, namespace, group string) {
	GinkgoHelper()
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	hooks := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	for _, o := range []struct {
		gvr             schema.GroupVersionResource
		namespace, name string
	}{
		{core("configmaps"), namespace, "of-subchart"},
		{core("configmaps"), namespace, depot},
		{core("serviceaccounts"), namespace, depot},
		{deployments, namespace, depot},
		{hooks, "", group},
		{definitions(), "", "crates." + group},
	} {
		live := must.Object(ctx, client, o.gvr, o.namespace, o.name)
		Expect(live).NotTo(BeNil(), o.name)
		Expect(live.GetDeletionTimestamp()).To(BeNil(), o.name)
		Expect(live.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "Helm"), o.name)
		Expect(live.GetAnnotations()).To(HaveKeyWithValue("meta.helm.sh/release-name", depot), o.name)
		Expect(live.GetAnnotations()).To(HaveKeyWithValue("meta.helm.sh/release-namespace", namespace), o.name)
	}
	Expect(must.Object(ctx, client, definitions(), "", "silos."+group)).NotTo(BeNil())
	Expect(must.Object(ctx, client, core("configmaps"), namespace, depot).Object["data"]).To(Equal(map[string]any{"level": "two", "revision": "2"}), "rendered anew")
	Expect(must.Object(ctx, client, core("configmaps"), namespace, "hook-before")).NotTo(BeNil(), "the hook did not run")
	Expect(must.Object(ctx, client, core("configmaps"), namespace, "hook-after")).To(BeNil(), "the hook's object was to go when it succeeded")
}

var _ = Describe("A Helm release", func() {
	for _, helm := range helms() {
		It("that is gone comes back from its saved Secrets: "+helm, func(ctx SpecContext) {
			namespace, group, chart := installed(ctx, helm, "")
			manifest := admin.Run(ctx, helm, "get", "manifest", depot, "-n", namespace)
			must.Succeed(manifest)
			values := admin.Run(ctx, helm, "get", "values", depot, "-n", namespace)
			must.Succeed(admin.Run(ctx, helm, "uninstall", depot, "-n", namespace))
			must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "hook-before", "-n", namespace))
			must.Succeed(admin.Kubectl(ctx, "delete", "crd", "silos."+group))
			Eventually(must.Object).WithArguments(ctx, client, definitions(), "", "crates."+group).Should(BeNil())

			By("a dry run, which changes nothing")
			r := admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace, "--dry-run")
			must.Succeed(r)
			Expect(r.Stdout).To(ContainSubstring("Plan: bring back Helm release %s/depot, revision 2 (depot-1.2.3), which is gone\n", namespace))
			Expect(r.Stdout).To(And(ContainSubstring("  create ConfigMap %s/of-subchart\n", namespace),
				ContainSubstring("  pre-install hook: create ConfigMap %s/hook-before\n", namespace),
				ContainSubstring("put back 1 older revisions")))
			Expect(statusOf(ctx, helm, namespace)).To(BeEmpty())
			Expect(admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace).Code).To(Equal(4))

			Expect(restoreRelease(ctx, namespace)).To(ContainSubstring("release %s/depot: brought back, revision 2 is deployed\n", namespace))
			expectWhole(ctx, namespace, group)
			for _, either := range helms() {
				Expect(statusOf(ctx, either, namespace)).To(Equal("2 deployed"))
				Expect(history(ctx, either, namespace)).To(Equal([]string{"1 superseded", "2 deployed"}))
			}
			Expect(admin.Run(ctx, helm, "get", "manifest", depot, "-n", namespace).Stdout).To(Equal(manifest.Stdout))
			Expect(admin.Run(ctx, helm, "get", "values", depot, "-n", namespace).Stdout).To(Equal(values.Stdout))
			Expect(restoreRelease(ctx, namespace)).To(ContainSubstring("nothing to do"))

			By("what Helm does with it from now on")
			for i, next := range []string{helm, "helm4", "helm3"} {
				level := fmt.Sprintf("later-%d", i)
				must.Succeed(admin.Run(ctx, next, "upgrade", depot, chart, "-n", namespace, "--set", "level="+level))
				Expect(must.Object(ctx, client, core("configmaps"), namespace, depot).Object["data"]).To(HaveKeyWithValue("level", level))
			}
			must.Succeed(admin.Run(ctx, helm, "rollback", depot, "1", "-n", namespace))
			Expect(must.Object(ctx, client, core("configmaps"), namespace, depot).Object["data"]).To(HaveKeyWithValue("level", "one"))
			must.Succeed(admin.Run(ctx, helm, "uninstall", depot, "-n", namespace))
			for _, name := range []string{"of-subchart", depot} {
				Expect(must.Object(ctx, client, core("configmaps"), namespace, name)).To(BeNil(), name)
			}
		})

		It("that was left uninstalling is healed in place: "+helm, func(ctx SpecContext) {
			namespace, group, chart := installed(ctx, helm, "")
			leaveUninstalling(ctx, helm, namespace)
			Expect(restoreRelease(ctx, namespace)).To(ContainSubstring("which is uninstalling"))
			expectWhole(ctx, namespace, group)
			for _, either := range helms() {
				Expect(statusOf(ctx, either, namespace)).To(Equal("2 deployed"))
			}
			must.Succeed(admin.Run(ctx, helm, "upgrade", depot, chart, "-n", namespace))
			must.Succeed(admin.Run(ctx, helm, "uninstall", depot, "-n", namespace))
		})
	}

	It("that was left uninstalling is healed without a saved Secret too", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		group := namespace + ".example"
		chart := newChart(group, "")
		must.Succeed(admin.Run(ctx, "helm3", "install", depot, chart, "-n", namespace, "--set", "level=two"))
		leaveUninstalling(ctx, "helm3", namespace)
		restoreRelease(ctx, namespace)
		for i, either := range helms() {
			Expect(statusOf(ctx, either, namespace)).To(Equal(fmt.Sprint(i+1, " deployed")))
			must.Succeed(admin.Run(ctx, either, "status", depot, "-n", namespace))
			must.Succeed(admin.Run(ctx, either, "upgrade", depot, chart, "-n", namespace))
		}
	})

	It("adopts definitions that survived, with their instances", func(ctx SpecContext) {
		namespace, group, _ := installed(ctx, "helm4", "helm.sh/resource-policy: keep")
		crates := schema.GroupVersionResource{Group: group, Version: "v1", Resource: "crates"}
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: %s/v1, kind: Crate, metadata: {name: one, namespace: %s}, spec: {a: 1}}", group, namespace))
		crate := must.Object(ctx, client, crates, namespace, "one")
		kept := must.Object(ctx, client, definitions(), "", "crates."+group)
		must.Succeed(admin.Run(ctx, "helm4", "uninstall", depot, "-n", namespace))
		By("somebody adds a version to one of them")
		newer := crd(group, "crates", "Crate", "", "v1", "v2")
		must.Succeed(admin.RunInput(ctx, newer, "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"))
		must.Succeed(admin.Kubectl(ctx, "annotate", "crd", "crates."+group, "meta.helm.sh/release-name-"))
		out := restoreRelease(ctx, namespace)
		Expect(out).To(ContainSubstring("note: CustomResourceDefinition crates.%s has versions that the release does not know", group))
		expectWhole(ctx, namespace, group)
		after := must.Object(ctx, client, definitions(), "", "crates."+group)
		Expect(after.GetUID()).To(Equal(kept.GetUID()))
		Expect(after.Object["spec"].(map[string]any)["versions"]).To(HaveLen(2))
		Expect(must.Object(ctx, client, crates, namespace, "one").GetUID()).To(Equal(crate.GetUID()))
	})

	It("does not start before a Terminating definition is gone", func(ctx SpecContext) {
		namespace, group, _ := installed(ctx, "helm3", "")
		crates := schema.GroupVersionResource{Group: group, Version: "v1", Resource: "crates"}
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: %s/v1, kind: Crate, metadata: {name: held, namespace: %s, finalizers: [example.com/held]}}", group, namespace))
		must.Succeed(admin.Run(ctx, "helm3", "uninstall", depot, "-n", namespace))
		Expect(must.Object(ctx, client, definitions(), "", "crates."+group).GetDeletionTimestamp()).NotTo(BeNil())
		done := make(chan string)
		go func() {
			defer GinkgoRecover()
			defer close(done)
			done <- restoreRelease(ctx, namespace)
		}()
		Eventually(func() string {
			r := admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace, "--dry-run")
			return r.Stdout
		}).Should(ContainSubstring("wait until the Terminating one is gone, then create CustomResourceDefinition crates." + group))
		Expect(must.Object(ctx, client, core("serviceaccounts"), namespace, depot)).To(BeNil(), "it began")
		must.Succeed(admin.Kubectl(ctx, "patch", "crates."+group, "held", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
		var out string
		Eventually(done, "60s").Should(Receive(&out))
		Expect(out).To(ContainSubstring("waiting for CustomResourceDefinition crates.%s, which is Terminating, to be gone", group))
		expectWhole(ctx, namespace, group)
		Expect(must.Object(ctx, client, crates, namespace, "held")).To(BeNil())
	})

	It("comes back when its namespace went too", func(ctx SpecContext) {
		namespace, group, _ := installed(ctx, "helm4", "")
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", namespace))
		Expect(restoreRelease(ctx, namespace)).To(ContainSubstring("its namespace %q is gone and is created", namespace))
		expectWhole(ctx, namespace, group)
		Expect(statusOf(ctx, "helm4", namespace)).To(Equal("2 deployed"))
	})

	It("is refused what belongs to another release, or cannot be", func(ctx SpecContext) {
		namespace, group, chart := installed(ctx, "helm3", "")
		other := must.Namespace(ctx, admin, "place")
		must.Succeed(admin.Run(ctx, "helm3", "uninstall", depot, "-n", namespace))
		Eventually(must.Object).WithArguments(ctx, client, definitions(), "", "crates."+group).Should(BeNil())
		must.Succeed(admin.Run(ctx, "helm3", "install", "usurper", chart, "-n", other))
		r := admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace, "--yes")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stderr).To(ContainSubstring("belongs to another Helm release, %s/usurper, which exists; uninstall or rename one of the two", other))
		Expect(statusOf(ctx, "helm3", namespace)).To(BeEmpty())
		Expect(must.Object(ctx, client, core("serviceaccounts"), namespace, depot)).To(BeNil())

		r = admin.Holdfast(ctx, "recovery", "restore", "release", "nosuch", "-n", namespace, "--yes")
		Expect(r.Code).To(Equal(2), r.Output)
		Expect(r.Stderr).To(ContainSubstring(`nothing is known of the Helm release "%s/nosuch"`, namespace))
		for _, args := range [][]string{{"release"}, {"release/"}, {"release", "a", "b"}} {
			Expect(admin.Holdfast(ctx, append([]string{"recovery", "restore"}, args...)...).Code).To(Equal(2))
		}
	})

	It("is left to Helm while that is at work", func(ctx SpecContext) {
		namespace, _, _ := installed(ctx, "helm3", "")
		secrets := kube.CoreV1().Secrets(namespace)
		secret, err := secrets.Get(ctx, "sh.helm.release.v1.depot.v2", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		secret.Labels["status"] = "pending-upgrade"
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		Expect(err).NotTo(HaveOccurred())
		r := admin.Holdfast(ctx, "recovery", "restore", "release", depot, "-n", namespace, "--yes")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stderr).To(ContainSubstring("Helm is at work on it, or was stopped while it was (revision 2)"))
	})
})

// leaveUninstalling makes an uninstallation fail halfway, as one that was
// refused something.
func leaveUninstalling(ctx context.Context, helm, namespace string) {
	GinkgoHelper()
	policy := fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], operations: [DELETE], resources: [serviceaccounts]}]
  validations: [{expression: "oldObject.metadata.namespace != '%s'"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}
`, namespace)
	name := "stay-" + namespace
	must.Apply(ctx, admin, strings.ReplaceAll(policy, "NAME", name))
	Eventually(func() string {
		return admin.Kubectl(ctx, "delete", "serviceaccount", depot, "-n", namespace, "--dry-run=server").Stderr
	}).Should(ContainSubstring(name))
	Expect(admin.Run(ctx, helm, "uninstall", depot, "-n", namespace).Code).NotTo(BeZero())
	Expect(statusOf(ctx, helm, namespace)).To(HaveSuffix(" uninstalling"))
	must.Succeed(admin.Kubectl(ctx, "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name))
	Eventually(func() int {
		return admin.Kubectl(ctx, "delete", "serviceaccount", depot, "-n", namespace, "--dry-run=server").Code
	}).Should(BeZero())
}
