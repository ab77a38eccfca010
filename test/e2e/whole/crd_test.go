// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package whole

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const crates = "crates.stores.example"

var _ = Describe("The definition of a guarded resource", func() {
	It("stays while instances exist, however its deletion is asked for", func(ctx SpecContext) {
		install(ctx, "crates", "Crate", "Namespaced")
		DeferCleanup(uninstall, "crates")
		var houses []string
		for range 4 {
			houses = append(houses, must.Namespace(ctx, admin, "house"))
			put(ctx, "Crate", houses[len(houses)-1], "one")
		}
		put(ctx, "Crate", houses[0], "two")
		uid := must.Object(ctx, client, definitions(), "", crates).GetUID()
		before := saved(ctx, "customresourcedefinitions.apiextensions.k8s.io")

		slices.Sort(houses)
		r := admin.Kubectl(ctx, "delete", "crd", crates)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring(fmt.Sprintf("customresourcedefinition %s has 5 instances in namespaces %s, %s, %s and 1 more", crates, houses[0], houses[1], houses[2])))
		Expect(r.Stderr).To(ContainSubstring("Warning: holdfast: "), "the text also comes as warnings")

		By("deletecollection")
		err := client.Resource(definitions()).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=" + crates})
		Expect(statusOf(err).Code).To(BeEquivalentTo(403))
		By("dry-run, which is answered as the real one")
		Expect(admin.Kubectl(ctx, "delete", "crd", crates, "--dry-run=server").Stderr).To(ContainSubstring("has 5 instances"))
		By("kubectl delete -f, and replace --force")
		text := admin.Kubectl(ctx, "get", "crd", crates, "-o", "yaml").Stdout
		manifest := file("crd.yaml", text)
		Expect(admin.Kubectl(ctx, "delete", "-f", manifest).Code).To(Equal(1))
		Expect(admin.Kubectl(ctx, "replace", "--force", "-f", manifest).Code).To(Equal(1))
		By("orphaning, which would not spare the instances")
		Expect(admin.Kubectl(ctx, "delete", "crd", crates, "--cascade=orphan").Code).To(Equal(1))

		expectUntouched(ctx, definitions(), "", crates)
		Expect(must.Object(ctx, client, definitions(), "", crates).GetUID()).To(Equal(uid))
		for _, house := range houses {
			expectUntouched(ctx, storesKind("crates"), house, "one")
		}
		Expect(saved(ctx, "customresourcedefinitions.apiextensions.k8s.io")).To(ConsistOf(before))

		By("explaining it")
		r = admin.Holdfast(ctx, "explain", "crd", crates)
		must.Succeed(r)
		Expect(r.Stdout).To(And(ContainSubstring("A delete would be REFUSED"), ContainSubstring("has 5 instances"), ContainSubstring("gives a dry-run delete the same answer")))

		By("going, saved, when the last instance has gone")
		for _, house := range houses {
			must.Succeed(admin.Kubectl(ctx, "delete", "crates.stores.example", "--all", "-n", house))
		}
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", crates))
		Expect(saved(ctx, "customresourcedefinitions.apiextensions.k8s.io")).To(ConsistOf(append(before, "/"+crates)))
	})

	It("stays for an instance of the cluster, and for one that is being deleted", func(ctx SpecContext) {
		install(ctx, "regions", "Region", "Cluster")
		DeferCleanup(uninstall, "regions")
		put(ctx, "Region", "", "north")
		Expect(admin.Kubectl(ctx, "delete", "crd", "regions.stores.example").Stderr).To(ContainSubstring("has 1 instance, and"))
		must.Succeed(admin.Kubectl(ctx, "patch", "region", "north", "--type=merge", "-p", `{"metadata":{"finalizers":["stores.example/hold"]}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "region", "north", "--wait=false"))
		Expect(admin.Kubectl(ctx, "delete", "crd", "regions.stores.example").Code).To(Equal(1))
		must.Succeed(admin.Kubectl(ctx, "patch", "region", "north", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", "regions.stores.example"))
	})

	It("goes without a word in audit mode", func(ctx SpecContext) {
		install(ctx, "drafts", "Draft", "Namespaced")
		DeferCleanup(uninstall, "drafts")
		put(ctx, "Draft", must.Namespace(ctx, admin, "house"), "one")
		r := admin.Kubectl(ctx, "delete", "crd", "drafts.stores.example")
		must.Succeed(r)
		Expect(r.Stderr).NotTo(ContainSubstring("refused"))
		Eventually(holdfast.Logs).Should(MatchRegexp(`"msg":"Deletion let pass by the mode".*"rule":"crd".*has 1 instance.*"mode":"audit"`))
	})

	It("does not hold up any other definition, also while Holdfast is down", func(ctx SpecContext) {
		install(ctx, "others", "Other", "Namespaced")
		install(ctx, "crates", "Crate", "Namespaced")
		DeferCleanup(uninstall, "crates")
		put(ctx, "Other", must.Namespace(ctx, admin, "house"), "one")
		holdfastDown(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", "others.stores.example"))
		r := admin.Kubectl(ctx, "delete", "crd", crates)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring(`failed calling webhook "crd.holdfast.dev"`))
		expectUntouched(ctx, definitions(), "", crates)
		Expect(holdfast.Start(ctx)).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", crates))
	})
})

// deadConversion makes a conversion webhook that nobody serves responsible for
// a kind, and stored the version in which its old objects are not.
const deadConversion = `{"spec":{"conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/convert"}}}}}`

var _ = Describe("A kind whose conversion webhook is dead", func() {
	It("keeps its definition, its namespace and what else is guarded as they are, and nothing hangs", func(ctx SpecContext) {
		install(ctx, "shelves", "Shelf", "Namespaced")
		install(ctx, "crates", "Crate", "Namespaced")
		DeferCleanup(uninstall, "crates")
		house, other, empty := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		DeferCleanup(func(ctx SpecContext) {
			_, err := client.Resource(definitions()).Patch(ctx, "shelves.stores.example", types.MergePatchType, []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`), metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() string { // it may have gone
				return admin.Kubectl(ctx, "patch", "shelf", "going", "-n", house, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`).Stderr
			}).Should(Or(Not(ContainSubstring("rror")), ContainSubstring("NotFound")))
			uninstall(ctx, "shelves")
		})
		put(ctx, "Shelf", house, "old")
		put(ctx, "Shelf", house, "going")
		must.Succeed(admin.Kubectl(ctx, "patch", "shelf", "going", "-n", house, "--type=merge", "-p", `{"metadata":{"finalizers":["stores.example/hold"]}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "shelf", "going", "-n", house, "--wait=false"))
		put(ctx, "Crate", other, "fine")
		awaitListed(ctx, house)
		By("storing in another version than the one it is encoded in")
		_, err := client.Resource(definitions()).Patch(ctx, "shelves.stores.example", types.MergePatchType, []byte(`{"spec":{"versions":[
			{"name":"v1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
			{"name":"v2","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		_, err = client.Resource(definitions()).Patch(ctx, "shelves.stores.example", types.MergePatchType, []byte(deadConversion), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() error {
			v2 := storesKind("shelves")
			v2.Version = "v2"
			_, err := client.Resource(v2).Namespace(house).Get(ctx, "old", metav1.GetOptions{})
			return err
		}).Should(MatchError(ContainSubstring("conversion webhook")))

		started := time.Now()
		r := admin.Kubectl(ctx, "delete", "crd", "shelves.stores.example")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(Or(MatchRegexp("has [12] instances?"), ContainSubstring("count as existing")))
		r = admin.Kubectl(ctx, "delete", "namespace", house)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(Or(MatchRegexp("holds [12] guarded objects?: shelf "+house+"/"), ContainSubstring("could not decide")))
		expectUntouched(ctx, namespaces(), "", house)
		By("an instance and the finalizers of one that is going, in both versions: what can be decided, or an error that says why")
		for _, request := range [][]string{
			{"delete", "shelves.v2.stores.example", "old", "--wait=false"},
			{"delete", "shelves.v1.stores.example", "old", "--dry-run=server"},
			{"patch", "shelves.v2.stores.example", "going", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`},
			{"patch", "shelves.v1.stores.example", "going", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`},
		} {
			r := admin.Kubectl(ctx, append(request, "-n", house)...)
			Expect(r.Code).To(BeElementOf(0, 1), "%v: %s", request, r.Stderr)
			if r.Code == 1 {
				Expect(r.Stderr).To(Or(ContainSubstring("conversion webhook"), ContainSubstring("could not decide")), "%v", request)
			}
		}
		By("another profile's and other namespaces")
		must.Succeed(admin.Kubectl(ctx, "delete", "crate", "fine", "-n", other))
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", empty, "--wait=false"))
		Expect(time.Since(started)).To(BeNumerically("<", 90*time.Second))
	})
})
