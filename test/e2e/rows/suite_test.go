// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package rows goes through the table of what is refused and what is not, on a
// real API server, with Holdfast up and with Holdfast down, and counts what the
// API server asks Holdfast about.
package rows

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	holdfast *harness.Holdfast
	kube     kubernetes.Interface
	admin    harness.Runner
)

func TestRows(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Rows")
}

// define is a definition of GROUP, Kind and plural.
func define(group, kind, plural string) string {
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[3]s.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[2]s, plural: %[3]s, singular: %[4]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
`, group, kind, plural, strings.ToLower(kind))
}

// profiles has a kind with an operator, and one whose operator is not there.
const profiles = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: crates}
spec:
  resources:
  - {resource: crates.rows.example, referencedBy: [{resource: pallets.rows.example, path: '{.spec.crate}'}]}
  operators:
  - serviceAccounts: [{namespace: ops, name: rows}]
---
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: boxes}
spec:
  resources:
  - {resource: boxes.rows.example}
  operators:
  - {release: {ofCRDs: [boxes.rows.example]}, requiredFor: [boxes.rows.example]}
`

const rights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: holdfast-rows, labels: {holdfast.dev/aggregate-to-serve: "true"}}
rules:
- {apiGroups: [rows.example], resources: [crates, pallets, boxes], verbs: [get, list, watch]}
`

// release is what else belongs to Astarte's operator, and what does not.
const release = `apiVersion: v1
kind: Secret
metadata: {name: sh.helm.release.v1.astarte.v1, namespace: astarte-operator, labels: {owner: helm, name: astarte, status: superseded, version: "1"}}
type: helm.sh/release.v1
---
apiVersion: v1
kind: Secret
metadata: {name: sh.helm.release.v1.astarte.v2, namespace: astarte-operator, labels: {owner: helm, name: astarte, status: deployed, version: "2"}}
type: helm.sh/release.v1
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: astarte, annotations: {meta.helm.sh/release-name: astarte, meta.helm.sh/release-namespace: astarte-operator}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: astarte-operator, annotations: {meta.helm.sh/release-name: other, meta.helm.sh/release-namespace: astarte-operator}}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	kube, admin = stage.Kube, stage.Admin
	holdfast, err = stage.Install(ctx, harness.Options{
		Profiles: []string{"nuodb", "astarte"}, ProfileFiles: map[string]string{"rows.yaml": profiles},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	// That of Widget no profile names.
	put(ctx, "", rights+"---\n"+define("free.example", "Widget", "widgets")+define("rows.example", "Crate", "crates")+
		define("rows.example", "Pallet", "pallets")+define("rows.example", "Box", "boxes"))
	put(ctx, "", astartes)
	Expect(harness.Served(ctx, stage.Cluster.Config, "widgets.free.example", "crates.rows.example",
		"pallets.rows.example", "boxes.rows.example", "astartes.api.astarte-platform.org")).To(Succeed())
	// Without it no Astarte is deleted.
	Expect(harness.Operator{Namespace: "astarte-operator", Release: "astarte", CRDs: []string{"astartes.api.astarte-platform.org"}}.Install(ctx, admin)).To(Succeed())
	// So that the garbage collector knows the CRDs.
	Expect(stage.Cluster.RestartControllerManager()).To(Succeed())
	Expect(holdfast.Start(ctx)).To(Succeed())
	put(ctx, "", release)
	for _, user := range []string{astarteOperator, rowsOperator} {
		Eventually(registered).WithArguments(ctx).Should(ContainSubstring("'" + user + "'"))
	}
})

// registered are the match conditions that the API server goes by.
func registered(ctx context.Context) (string, error) {
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, w := range config.Webhooks {
		for _, c := range w.MatchConditions {
			text.WriteString(c.Expression + "\n")
		}
	}
	return text.String(), nil
}

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// astartes is the kind with its two versions, without the conversion webhook.
const astartes = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: astartes.api.astarte-platform.org}
spec:
  group: api.astarte-platform.org
  scope: Namespaced
  names: {kind: Astarte, plural: astartes, singular: astarte}
  versions:
  - {name: v1alpha2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// put creates objects of YAML text in which NS stands for the namespace.
func put(ctx context.Context, namespace, text string) {
	GinkgoHelper()
	args := []string{"create", "-f", "-"}
	if namespace != "" {
		args = append(args, "-n", namespace)
	}
	must.Succeed(admin.RunInput(ctx, strings.ReplaceAll(text, "NS", namespace), "kubectl", args...))
}
