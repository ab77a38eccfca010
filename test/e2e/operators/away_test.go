// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

func astarteKind(resource string) schema.GroupVersionResource {
	group, version := "api.astarte-platform.org", "v1alpha1"
	if resource == "astartedefaultingresses" {
		group = "ingress.astarte-platform.org"
	}
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

// astarteObjects are one object of each kind of operators up to 23.5.
const astarteObjects = `{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {cassandra: {deploy: false}}}
---
{apiVersion: api.astarte-platform.org/v1alpha1, kind: AstarteVoyagerIngress, metadata: {name: a}, spec: {astarte: a}}
---
{apiVersion: ingress.astarte-platform.org/v1alpha1, kind: AstarteDefaultIngress, metadata: {name: a}, spec: {astarte: a}}
---
{apiVersion: api.astarte-platform.org/v1alpha1, kind: Flow, metadata: {name: a}, spec: {astarte: {name: a}}}
`

var _ = Describe("An Astarte, its ingresses and its flows", Ordered, func() {
	resources := []string{"flows", "astartedefaultingresses", "astartevoyageringresses", "astartes"}
	var crds []string
	var house string
	BeforeAll(func(ctx SpecContext) {
		crds = installAstarte(ctx, "v23.5.2")
		for _, crd := range crds { // other specs may have told whose they are
			must.Succeed(admin.Kubectl(ctx, "annotate", "crd", crd, "meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-"))
		}
		house = must.Namespace(ctx, admin, "house")
		must.Create(ctx, admin, house, astarteObjects)
	})

	// expectRefused fails unless none of them can be deleted, for this reason.
	expectRefused := func(ctx SpecContext, reason string) {
		GinkgoHelper()
		for _, resource := range resources {
			gvr := astarteKind(resource)
			uid := must.Object(ctx, client, gvr, house, "a").GetUID()
			name := gvr.GroupResource().String()
			r := admin.Kubectl(ctx, "delete", name, "a", "-n", house)
			Expect(r.Code).To(Equal(1))
			Expect(r.Stderr).To(And(ContainSubstring(reason), ContainSubstring("(Forbidden)"), ContainSubstring("Warning: holdfast: ")))
			Expect(admin.Kubectl(ctx, "delete", name, "a", "-n", house, "--dry-run=server").Stderr).To(ContainSubstring(reason))
			err := client.Resource(gvr).Namespace(house).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
			Expect(err).To(MatchError(ContainSubstring(reason)))
			after := must.Object(ctx, client, gvr, house, "a")
			Expect(after).NotTo(BeNil())
			Expect(after.GetDeletionTimestamp()).To(BeNil())
			Expect(after.GetUID()).To(Equal(uid))
		}
		r := admin.Holdfast(ctx, "explain", "astarte", "a", "-n", house)
		must.Succeed(r)
		Expect(r.Stdout).To(And(ContainSubstring("A delete would be REFUSED"), ContainSubstring(reason), ContainSubstring("the same answer")))
	}

	It("stay while nothing tells which operator is theirs", func(ctx SpecContext) {
		expectRefused(ctx, "its definitions bear no mark of Helm or Argo CD")
	})

	It("stay while their operator's Deployment is missing", func(ctx SpecContext) {
		Expect(harness.Operator{Namespace: "flow-system", Release: "none", CRDs: crds, Away: true}.Install(ctx, admin)).To(Succeed())
		expectRefused(ctx, "a is away: Helm release flow-system/none has no Deployment. Nobody would clean up after it now")
	})

	It("stay while it is being deleted, and while Holdfast is down", func(ctx SpecContext) {
		// Before the definitions name it: later it is kept while there are instances.
		leaving := harness.Operator{Namespace: "flow-system", Release: "leaving"}
		Expect(leaving.Install(ctx, admin)).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "patch", "deployment", "leaving", "-n", "flow-system", "--type=merge", "-p", `{"metadata":{"finalizers":["stores.example/hold"]}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "deployment", "leaving", "-n", "flow-system", "--wait=false"))
		for _, crd := range crds {
			must.Succeed(admin.Kubectl(ctx, "annotate", "--overwrite", "crd", crd, "meta.helm.sh/release-name=leaving"))
		}
		expectRefused(ctx, "a is away: Deployment flow-system/leaving is being deleted")
		holdfastDown()
		Expect(admin.Kubectl(ctx, "delete", "astarte", "a", "-n", house).Stderr).To(ContainSubstring(`failed calling webhook "guard.holdfast.dev"`))
		holdfastUp(ctx)
		must.Succeed(admin.Kubectl(ctx, "patch", "deployment", "leaving", "-n", "flow-system", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
	})

	It("stay while the operator may not be looked up", func(ctx SpecContext) {
		role := admin.Kubectl(ctx, "get", "clusterrole", "holdfast", "-o", "yaml").Stdout
		r := admin.RunInput(ctx, role, "kubectl", "create", "--dry-run=client", "-o", `jsonpath={range .rules[*]}{.resources[0]}{"\n"}{end}`, "-f", "-")
		must.Succeed(r)
		at := lineOf(r.Stdout, "deployments")
		_, err := client.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}).
			Patch(ctx, "holdfast", types.JSONPatchType, []byte(fmt.Sprintf(`[{"op":"remove","path":"/rules/%d"}]`, at)), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Apply(ctx)).To(Succeed()) })
		Eventually(func(g Gomega) {
			r := admin.Kubectl(ctx, "delete", "astarte", "a", "-n", house, "--dry-run=server")
			g.Expect(r.Code).To(Equal(1))
			g.Expect(r.Stderr).To(And(ContainSubstring("(InternalError)"), ContainSubstring("could not decide"), ContainSubstring("list its Deployments")))
		}).Should(Succeed())
		Expect(must.Object(ctx, client, astarteKind("astartes"), house, "a").GetDeletionTimestamp()).To(BeNil())
	})

	It("go, saved, with a warning that says what is lost, when it is there", func(ctx SpecContext) {
		Expect(holdfast.Apply(ctx)).To(Succeed())
		Expect(harness.Operator{Namespace: "flow-system", Release: "flow", CRDs: crds}.Install(ctx, admin)).To(Succeed())
		for _, resource := range resources {
			gvr := astarteKind(resource)
			o := must.Object(ctx, client, gvr, house, "a")
			Eventually(func(g Gomega) {
				r := admin.Kubectl(ctx, "delete", gvr.GroupResource().String(), "a", "-n", house)
				g.Expect(r.Code).To(BeZero(), r.Stderr)
				g.Expect(r.Stderr).To(ContainSubstring("before its deletion"))
			}).Should(Succeed())
			Expect(savedOf(ctx, o.GetUID())).NotTo(BeEmpty())
		}
	})
})

func lineOf(text, want string) int {
	GinkgoHelper()
	at := -1
	for i, line := range strings.Split(text, "\n") {
		if line == want {
			at = i
		}
	}
	Expect(at).NotTo(Equal(-1), text)
	return at
}

var _ = Describe("An object whose definition is being deleted", func() {
	It("stays, where the API server itself could not delete it", func(ctx SpecContext) {
		// Its conversion webhook is dead, and it is encoded in a version that is
		// neither stored nor preferred.
		crds := installAstarte(ctx, "v1.0.4")
		Expect(harness.Operator{Namespace: "flow-system", Release: "old", CRDs: crds}.Install(ctx, admin)).To(Succeed())
		house := must.Namespace(ctx, admin, "house")
		must.Create(ctx, admin, house, "{apiVersion: api.astarte-platform.org/v1alpha1, kind: Flow, metadata: {name: f}, spec: {astarte: {name: a}}}")
		crd := "flows.api.astarte-platform.org"
		versions := `[{"name":"v1alpha1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
			{"name":"v1alpha2","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]`
		patch := func(text string) {
			GinkgoHelper()
			must.Succeed(admin.Kubectl(ctx, "patch", "crd", crd, "--type=merge", "-p", text))
		}
		patch(`{"spec":{"versions":` + versions + `}}`)
		patch(`{"spec":{"conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/convert"}}}}}`)
		v2 := schema.GroupVersionResource{Group: "api.astarte-platform.org", Version: "v1alpha2", Resource: "flows"}
		Eventually(func() error {
			_, err := client.Resource(v2).Namespace(house).Get(ctx, "f", metav1.GetOptions{})
			return err
		}).Should(MatchError(ContainSubstring("conversion webhook")))
		holdfastDown()
		DeferCleanup(func(ctx SpecContext) {
			_, err := client.Resource(definitions()).Patch(ctx, crd, types.MergePatchType, []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`), metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred())
			Eventually(must.Object).WithArguments(ctx, client, definitions(), "", crd).Should(BeNil())
		})
		// Nothing of Holdfast's is in the way of whoever takes all of that away.
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast"))
		must.Succeed(admin.Kubectl(ctx, "annotate", "crd", crd, "meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-"))
		Eventually(func(g Gomega) {
			r := admin.Kubectl(ctx, "delete", "crd", crd, "--wait=false")
			g.Expect(r.Code).To(BeZero(), r.Stderr)
		}).Should(Succeed())
		holdfastUp(ctx)
		v1 := astarteKind("flows")
		if o := must.Object(ctx, client, v1, house, "f"); o == nil || o.GetDeletionTimestamp() != nil {
			Fail("the API server has deleted it all the same")
		}
		// The API server cannot convert what it would delete, and so does not
		// come to ask; one whose webhook has just come back would.
		answer := review(ctx, must.Object(ctx, client, v1, house, "f"), "flows")
		Expect(answer.Allowed).To(BeFalse())
		Expect(answer.Result.Code).To(BeEquivalentTo(403))
		Expect(answer.Result.Message).To(ContainSubstring("customresourcedefinition " + crd + " is being deleted, so flow " + house + "/f could not be created again"))
	})
})

// review asks the running Holdfast about a deletion, as the API server would.
func review(ctx context.Context, o *unstructured.Unstructured, resource string) *admissionv1.AdmissionResponse {
	GinkgoHelper()
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	to := config.Webhooks[0].ClientConfig
	raw, err := o.MarshalJSON()
	Expect(err).NotTo(HaveOccurred())
	gvk := o.GroupVersionKind()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "review", Operation: admissionv1.Delete, Namespace: o.GetNamespace(), Name: o.GetName(),
			Resource:  metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resource},
			OldObject: runtime.RawExtension{Raw: raw},
		},
	})
	Expect(err).NotTo(HaveOccurred())
	roots := x509.NewCertPool()
	Expect(roots.AppendCertsFromPEM(to.CABundle)).To(BeTrue())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, *to.URL, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	caller := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer caller.CloseIdleConnections()
	response, err := caller.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was only read
	var answer admissionv1.AdmissionReview
	Expect(json.NewDecoder(response.Body).Decode(&answer)).To(Succeed())
	Expect(answer.Response).NotTo(BeNil())
	return answer.Response
}

var _ = Describe("The volume of an Astarte's own Cassandra", func() {
	It("is not deleted by the operator, which may delete the others", func(ctx SpecContext) {
		crds := installAstarte(ctx, "v23.5.2")
		operator := harness.Operator{Namespace: "volume-system", Release: "volume", CRDs: crds}
		Expect(operator.Install(ctx, admin)).To(Succeed())
		Eventually(registered).WithArguments(ctx).Should(ContainSubstring("'" + operator.User() + "'"))
		house := must.Namespace(ctx, admin, "house")
		must.Create(ctx, admin, house, "{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {}}")
		const data = "a-cassandra-data-a-cassandra-0"
		for _, name := range []string{data, "a-vernemq-data-a-vernemq-0", "b-cassandra-data-b-cassandra-0"} {
			claim(ctx, house, name)
		}
		claims := as(operator.User()).Resource(coreKind("persistentvolumeclaims")).Namespace(house)
		refused := MatchError(ContainSubstring("profile astarte does not let the operator delete persistentvolumeclaim " + house + "/" + data + ", which belongs to astarte " + house + "/a."))
		Expect(claims.Delete(ctx, data, metav1.DeleteOptions{})).To(refused)
		Expect(claims.Delete(ctx, data, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})).To(refused)
		Expect(claims.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=" + data})).To(refused)
		Expect(isGoing(ctx, house, data)).To(BeFalse())
		By("deleting another volume, that of no Astarte, and as another program")
		Expect(claims.Delete(ctx, "a-vernemq-data-a-vernemq-0", metav1.DeleteOptions{})).To(Succeed())
		Expect(claims.Delete(ctx, "b-cassandra-data-b-cassandra-0", metav1.DeleteOptions{})).To(Succeed())
		Expect(as(otherProgram).Resource(coreKind("persistentvolumeclaims")).Namespace(house).Delete(ctx, data, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})).To(Succeed())

		By("being kept from the operator while Holdfast is down, and from nobody else")
		claim(ctx, house, "a-rabbitmq-data-a-rabbitmq-0")
		holdfastDown()
		Expect(claims.Delete(ctx, data, metav1.DeleteOptions{})).To(MatchError(ContainSubstring(`failed calling webhook "denied-delete.holdfast.dev"`)))
		Expect(claims.Delete(ctx, "a-rabbitmq-data-a-rabbitmq-0", metav1.DeleteOptions{})).To(Succeed())
		Expect(isGoing(ctx, house, data)).To(BeFalse())
		must.Succeed(admin.Kubectl(ctx, "delete", "pvc", data, "-n", house, "--wait=false"))
		Expect(isGoing(ctx, house, data)).To(BeTrue())
	})
})
