// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// crd is a definition of group GROUP with these versions, the first stored.
func crd(group, plural, kind, annotations string, versions ...string) string {
	var list []string
	for i, v := range versions {
		list = append(list, fmt.Sprintf("{name: %s, served: true, storage: %t, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}", v, i == 0))
	}
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.%[1]s, annotations: {%[4]s}}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[3]s, plural: %[2]s, singular: %[5]s}
  versions: [%[6]s]
`, group, plural, kind, annotations, strings.ToLower(kind), strings.Join(list, ", "))
}

// newChart writes a chart with everything that a release can consist of: a
// definition among the templates and one in crds, an instance of the first, a
// subchart, a webhook configuration, and hooks. Its kinds are of group.
func newChart(group, keep string) string {
	GinkgoHelper()
	dir := filepath.Join(GinkgoT().TempDir(), "chart")
	for name, text := range map[string]string{
		"Chart.yaml":                     "{apiVersion: v2, name: depot, version: 1.2.3}\n",
		"values.yaml":                    "level: one\n",
		"charts/sub/Chart.yaml":          "{apiVersion: v2, name: sub, version: 0.1.0}\n",
		"charts/sub/templates/map.yaml":  "{apiVersion: v1, kind: ConfigMap, metadata: {name: of-subchart}, data: {by: subchart}}\n",
		"crds/silos.yaml":                crd(group, "silos", "Silo", "", "v1"),
		"templates/crates.yaml":          crd(group, "crates", "Crate", keep, "v1"),
		"templates/webhook.yaml":         fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: '%[1]s'}, webhooks: [{name: a.%[1]s, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore, timeoutSeconds: 1, clientConfig: {service: {name: depot, namespace: '{{ .Release.Namespace }}'}}, rules: [{apiGroups: ['%[1]s'], apiVersions: ['*'], operations: [CREATE], resources: ['crates']}]}]}\n", group),
		"templates/account.yaml":         "{apiVersion: v1, kind: ServiceAccount, metadata: {name: depot}}\n",
		"templates/map.yaml":             "{apiVersion: v1, kind: ConfigMap, metadata: {name: depot}, data: {level: '{{ .Values.level }}', revision: '{{ .Release.Revision }}'}}\n",
		"templates/deployment.yaml":      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: depot}, spec: {selector: {matchLabels: {app: depot}}, template: {metadata: {labels: {app: depot}}, spec: {serviceAccountName: depot, containers: [{name: depot, image: example.invalid/depot}]}}}}\n",
		"templates/hook-before.yaml":     "{apiVersion: v1, kind: ConfigMap, metadata: {name: hook-before, annotations: {helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-weight: '-5'}}, data: {by: hook}}\n",
		"templates/hook-after.yaml":      "{apiVersion: v1, kind: ConfigMap, metadata: {name: hook-after, annotations: {helm.sh/hook: post-install, helm.sh/hook-delete-policy: hook-succeeded}}, data: {by: hook}}\n",
		"templates/hook-pre-delete.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: hook-pre-delete, annotations: {helm.sh/hook: pre-delete}}, data: {by: hook}}\n",
	} {
		path := filepath.Join(dir, name)
		Expect(os.MkdirAll(filepath.Dir(path), 0o750)).To(Succeed())
		Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	}
	return dir
}
