// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("The webhook configuration", func() {
	const name = "holdfast"
	read := func(ctx SpecContext) *admissionv1.ValidatingWebhookConfiguration {
		config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return &admissionv1.ValidatingWebhookConfiguration{}
		}
		return config
	}

	BeforeEach(func(ctx SpecContext) {
		// Some entries are there only while a namespace holds something.
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		Eventually(func() string { return held(read(ctx)) }).Should(ContainSubstring("'" + namespace + "'"))
	})

	It("belongs to the chart's ClusterRole, and leads to this Holdfast", func(ctx SpecContext) {
		role, err := kube.RbacV1().ClusterRoles().Get(ctx, "holdfast", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		config := read(ctx)
		Expect(config.OwnerReferences).To(ConsistOf(metav1.OwnerReference{
			APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "holdfast", UID: role.UID,
		}))
		for _, w := range config.Webhooks {
			Expect(*w.ClientConfig.URL).To(HavePrefix(holdfast.WebhookURL + "/"))
			Expect(*w.TimeoutSeconds).To(BeNumerically("<=", 5))
		}
		Expect(*config.Webhooks[0].FailurePolicy).To(Equal(admissionv1.Fail))
	})

	damages := map[string]string{
		"its policy is Ignore":              `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`,
		"a match condition is never true":   `[{"op":"add","path":"/webhooks/0/matchConditions/-","value":{"name":"never","expression":"false"}}]`,
		"its rules name nothing that is":    `[{"op":"replace","path":"/webhooks/0/rules/0/resources","value":["none"]}]`,
		"it leads elsewhere":                `[{"op":"replace","path":"/webhooks/0/clientConfig/url","value":"https://127.0.0.1:1/"}]`,
		"its certificate is another's":      `[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":"OTHER"}]`,
		"its first entry is gone":           `[{"op":"remove","path":"/webhooks/0"}]`,
		"all entries are gone":              `[{"op":"replace","path":"/webhooks","value":[]}]`,
		"a selector leaves everything out":  `[{"op":"add","path":"/webhooks/0/objectSelector/matchLabels","value":{"no":"where"}}]`,
		"it has lost its owner":             `[{"op":"remove","path":"/metadata/ownerReferences"}]`,
		"its entries have changed places":   `[{"op":"move","from":"/webhooks/1","path":"/webhooks/0"}]`,
		"an entry is added by someone else": `[{"op":"copy","from":"/webhooks/0","path":"/webhooks/0"},{"op":"replace","path":"/webhooks/0/name","value":"more.example.com"}]`,
	}
	for what, patch := range damages {
		It("is right again when "+what, func(ctx SpecContext) {
			before := read(ctx)
			patch := strings.ReplaceAll(patch, "OTHER", base64.StdEncoding.EncodeToString(cluster.Config.CAData))
			_, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(ctx, name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() string { return comparable(read(ctx)) }).Should(Equal(comparable(before)))
			expectGuarded(ctx)
		})
	}

	It("is there again when it is deleted", func(ctx SpecContext) {
		before := read(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", name))
		Eventually(func() string { return comparable(read(ctx)) }).Should(Equal(comparable(before)))
		expectGuarded(ctx)
	})

	It("is right again when it is deleted while Holdfast is down", func(ctx SpecContext) {
		before := read(ctx)
		Expect(holdfast.Stop()).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", name))
		Expect(holdfast.Start(ctx)).To(Succeed())
		Expect(read(ctx).Webhooks).NotTo(BeEmpty(), "ready means registered")
		// What namespaces hold and who operates is known a moment later.
		Eventually(func() string { return comparable(read(ctx)) }).Should(Equal(comparable(before)))
		expectGuarded(ctx)
	})

	certificate := func(ctx SpecContext) map[string][]byte {
		secret, err := kube.CoreV1().Secrets(holdfast.Namespace).Get(ctx, "holdfast-serving-cert", metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return secret.Data
	}

	It("goes on with the same certificate when its Secret is deleted", func(ctx SpecContext) {
		before := certificate(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "secret", "holdfast-serving-cert", "-n", holdfast.Namespace))
		Eventually(certificate).WithArguments(ctx).Should(Equal(before))
		expectGuarded(ctx)
	})

	It("leads to a new certificate when the old one is spoilt", func(ctx SpecContext) {
		before := read(ctx)
		_, err := kube.CoreV1().Secrets(holdfast.Namespace).Patch(ctx, "holdfast-serving-cert", types.MergePatchType,
			[]byte(`{"data":{"tls.crt":"c3BvaWx0","tls.key":"c3BvaWx0","ca.crt":"c3BvaWx0"}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() []byte { return certificate(ctx)["tls.crt"] }).Should(HavePrefix("-----BEGIN CERTIFICATE"))
		Eventually(func() []byte { return read(ctx).Webhooks[0].ClientConfig.CABundle }).ShouldNot(Equal(before.Webhooks[0].ClientConfig.CABundle))
		expectGuarded(ctx)
	})
})

// held is the condition that lists the namespaces which hold something.
func held(config *admissionv1.ValidatingWebhookConfiguration) string {
	for _, w := range config.Webhooks {
		for _, c := range w.MatchConditions {
			if w.Name == "namespace.holdfast.dev" && c.Name == "holds-guarded" {
				return c.Expression
			}
		}
	}
	return ""
}

// comparable is what matters of a configuration.
func comparable(config *admissionv1.ValidatingWebhookConfiguration) string {
	config = config.DeepCopy()
	for _, w := range config.Webhooks {
		for i, c := range w.MatchConditions {
			// They list the namespaces that hold guarded objects, which come and
			// go with the other specs.
			if c.Name == "holds-guarded" || c.Name == "holds-none" {
				w.MatchConditions[i].Expression = ""
			}
		}
	}
	text, err := json.MarshalIndent([]any{config.Webhooks, config.OwnerReferences}, "", " ")
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// expectGuarded fails unless a used tier is refused by Holdfast. The API server
// may know an old configuration for a moment.
func expectGuarded(ctx SpecContext) {
	GinkgoHelper()
	namespace := must.Namespace(ctx, admin, "team")
	create(ctx, namespace, tier)
	create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used}}}}")
	dryRun := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
	Eventually(func() error {
		return client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", dryRun)
	}).Should(MatchError(ContainSubstring("in use by")))
}
