// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package whole

import (
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// installAstarte makes the kinds of one version of the operator known, without
// its conversion webhook, which nobody serves here. They go after the spec.
func installAstarte(ctx SpecContext, version string) {
	GinkgoHelper()
	path, err := harness.Testdata(ctx, "astarte", "crds-"+version+".yaml")
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(doc), &crd.Object)).To(Succeed())
		unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
		out, err := yaml.Marshal(crd.Object)
		Expect(err).NotTo(HaveOccurred())
		must.Apply(ctx, admin, string(out))
		names = append(names, crd.GetName())
	}
	Expect(harness.Served(ctx, cluster.Config, names...)).To(Succeed())
	// Nothing of it is deleted without an operator.
	Expect(harness.Operator{Namespace: "astarte-operator", Release: "astarte", CRDs: names}.Install(ctx, admin)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		// All instances go before any definition: while some exist, their
		// operator's release is fenced.
		Eventually(func(g Gomega) {
			for _, name := range names {
				// What a spec has kept from going is made to go.
				list := admin.Kubectl(ctx, "get", name, "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
				for line := range strings.Lines(list.Stdout) {
					namespace, object, _ := strings.Cut(strings.TrimSpace(line), " ")
					admin.Kubectl(ctx, "patch", name, object, "-n", namespace, "--type=merge", "-p", `{"spec":{"cassandra":{"deploy":false}}}`)
					admin.Kubectl(ctx, "delete", name, object, "-n", namespace)
				}
			}
			for _, name := range names {
				r := admin.Kubectl(ctx, "delete", "crd", name, "--ignore-not-found")
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}
		}).Should(Succeed())
	})
}

func astartes(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "api.astarte-platform.org", Version: version, Resource: "astartes"}
}

var _ = Describe("An Astarte", func() {
	for operator, versions := range map[string][]string{
		"v1.0.4": {"v1alpha1", "v1alpha2"}, "v23.5.2": {"v1alpha1", "v1alpha2"}, "v24.5.1": {"v1alpha2", "v1alpha3"},
	} {
		It("with a Cassandra of its own stays, with its namespace and definition; one without goes, saved: operator "+operator, func(ctx SpecContext) {
			installAstarte(ctx, operator)
			for _, version := range versions {
				house := must.Namespace(ctx, admin, "house")
				for name, cassandra := range map[string]string{"said": "{deploy: true}", "unsaid": "{storage: {size: 1Gi}}", "external": "{deploy: false}"} {
					must.Succeed(admin.RunInput(ctx, fmt.Sprintf("{apiVersion: api.astarte-platform.org/%s, kind: Astarte, metadata: {name: %s}, spec: {cassandra: %s}}", version, name, cassandra), "kubectl", "create", "-n", house, "-f", "-"))
				}
				for _, name := range []string{"said", "unsaid"} {
					r := admin.Kubectl(ctx, "delete", "astarte", name, "-n", house)
					Expect(r.Code).To(Equal(1))
					Expect(r.Stderr).To(ContainSubstring("astarte " + house + "/" + name + " could not be brought back after its deletion: its Cassandra runs inside it"))
					expectUntouched(ctx, astartes(version), house, name)
				}
				r := admin.Kubectl(ctx, "delete", "astarte", "external", "-n", house)
				must.Succeed(r)
				Expect(r.Stderr).To(ContainSubstring("saved astarte " + house + "/external before its deletion"))
				Expect(saved(ctx, "astartes.api.astarte-platform.org")).To(ContainElement(house + "/external"))

				By("the rest of the whole")
				awaitListed(ctx, house)
				r = admin.Kubectl(ctx, "delete", "namespace", house)
				Expect(r.Code).To(Equal(1))
				Expect(r.Stderr).To(ContainSubstring("namespace " + house + " holds 2 guarded objects: astarte " + house + "/said, astarte " + house + "/unsaid."))
				expectUntouched(ctx, namespaces(), "", house)
				Expect(admin.Kubectl(ctx, "delete", "crd", "astartes.api.astarte-platform.org").Stderr).To(Or(
					ContainSubstring("instances in namespace"), ContainSubstring("holdfast has fenced Helm release astarte-operator/astarte"),
				))
				r = admin.Holdfast(ctx, "explain", "astarte", "said", "-n", house)
				must.Succeed(r)
				Expect(r.Stdout).To(And(ContainSubstring("A delete would be REFUSED"), ContainSubstring("could not be brought back"), ContainSubstring("Recoverable: no, because its Cassandra runs inside it"), ContainSubstring("the same answer")))
			}
		})
	}

	It("of version v2alpha1, which has no Cassandra of its own, goes; its Flow is guarded under its new group", func(ctx SpecContext) {
		installAstarte(ctx, "v2alpha1")
		house := must.Namespace(ctx, admin, "house")
		must.Succeed(admin.RunInput(ctx, "{apiVersion: api.astarte-platform.org/v2alpha1, kind: Astarte, metadata: {name: a}, spec: {cassandra: {}}}", "kubectl", "create", "-n", house, "-f", "-"))
		must.Succeed(admin.RunInput(ctx, "{apiVersion: flow.astarte-platform.org/v2alpha1, kind: Flow, metadata: {name: f}, spec: {}}", "kubectl", "create", "-n", house, "-f", "-"))
		awaitListed(ctx, house)
		Expect(admin.Kubectl(ctx, "delete", "namespace", house).Stderr).To(ContainSubstring("holds 2 guarded objects: astarte " + house + "/a, flow " + house + "/f."))
		must.Succeed(admin.Kubectl(ctx, "delete", "astarte", "a", "-n", house))
		must.Succeed(admin.Kubectl(ctx, "delete", "flow", "f", "-n", house))
		Expect(saved(ctx, "flows.flow.astarte-platform.org")).To(ContainElement(house + "/f"))
	})
})

var _ = Describe("A definition as large as that of Astarte", func() {
	It("is saved before it goes", func(ctx SpecContext) {
		// 1.3 MB of schema, as repetitive as schemas are.
		var properties strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&properties, "            field%04d: {type: string, description: %q}\n", i, strings.Repeat(fmt.Sprintf("What field %d of the component means. ", i), 6))
		}
		manifest := file("large.yaml", `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crates.stores.example}
spec:
  group: stores.example
  scope: Namespaced
  names: {kind: Crate, plural: crates, singular: crate}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
`+strings.ReplaceAll(properties.String(), "            field", "              field"))
		info, err := os.Stat(manifest)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Size()).To(BeNumerically(">", 1_200_000))
		must.Succeed(admin.Kubectl(ctx, "create", "-f", manifest))
		DeferCleanup(uninstall, "crates")
		Expect(harness.Served(ctx, cluster.Config, "crates.stores.example")).To(Succeed())
		before := saved(ctx, "customresourcedefinitions.apiextensions.k8s.io")
		// The API server would have given up on a decision that takes 5 s.
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", "crates.stores.example"))
		Expect(saved(ctx, "customresourcedefinitions.apiextensions.k8s.io")).To(ConsistOf(append(before, "/crates.stores.example")))
	})
})
