// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// Release is the Helm release of the operator.
const Release = "astarte-operator"

// InstallKinds makes the kinds of the operator known, as a Helm release in
// namespace would, and its conversion webhook aside, which nobody serves. It
// gives back the names of their definitions.
func (o *Operator) InstallKinds(ctx context.Context, admin harness.Runner, namespace string) ([]string, error) {
	path, err := harness.Testdata(ctx, "astarte", "crds-"+o.Shape.Name+".yaml")
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &crd.Object); err != nil {
			return nil, err
		}
		unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
		annotations := crd.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations["meta.helm.sh/release-name"], annotations["meta.helm.sh/release-namespace"] = Release, namespace
		crd.SetAnnotations(annotations)
		out, err := yaml.Marshal(crd.Object)
		if err != nil {
			return nil, err
		}
		if r := admin.RunInput(ctx, string(out), "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"); r.Code != 0 {
			return nil, fmt.Errorf("install kinds: %s", r.Stderr)
		}
		names = append(names, crd.GetName())
	}
	for _, name := range names {
		if r := admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", name); r.Code != 0 {
			return nil, fmt.Errorf("install kinds: %s", r.Stderr)
		}
	}
	// Without its Deployment it would be away, and nothing of it be deleted.
	if err := (harness.Operator{Namespace: namespace, Release: Release, CRDs: names}).Install(ctx, admin); err != nil {
		return nil, err
	}
	_, err = o.Kube.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1." + Release + ".v1", Labels: map[string]string{"owner": "helm", "name": Release, "status": "deployed", "version": "1"}},
		Type:       "helm.sh/release.v1", StringData: map[string]string{"release": "manifest and hooks"},
	}, metav1.CreateOptions{})
	return names, unlessThere(names, err)
}

// CreateAstarte creates a typical Astarte with all that users put beside it: the
// Secrets that it names, and one of each kind that names it.
func (o *Operator) CreateAstarte(ctx context.Context, admin harness.Runner, namespace, name string) error {
	var docs []string
	for _, secret := range o.Shape.UserSecrets {
		docs = append(docs, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {by: user}}", secret))
	}
	docs = append(docs, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s-unrelated}, stringData: {by: somebody}}", name),
		fmt.Sprintf("{apiVersion: api.astarte-platform.org/%s, kind: Astarte, metadata: {name: %s}, spec: %s}", o.Shape.API, name, o.Shape.Spec),
		fmt.Sprintf("{apiVersion: ingress.astarte-platform.org/%s, kind: AstarteDefaultIngress, metadata: {name: %s-adi}, spec: {astarte: %s, tlsSecret: ingress-tls, dashboard: {tlsSecret: dashboard-tls}}}", o.Shape.Ingress, name, name),
		fmt.Sprintf("{apiVersion: %s/%s, kind: Flow, metadata: {name: %s-flow}, spec: {astarte: {name: %s}, astarteRealm: r}}", o.Shape.FlowGroup, o.Shape.API, name, name))
	if o.Shape.Voyager {
		docs = append(docs, fmt.Sprintf("{apiVersion: api.astarte-platform.org/%s, kind: AstarteVoyagerIngress, metadata: {name: %s-avi}, spec: {astarte: %s, api: {tlsSecret: ingress-tls}}}", o.Shape.API, name, name))
	}
	if r := admin.RunInput(ctx, strings.Join(docs, "\n---\n"), "kubectl", "apply", "--server-side", "-n", namespace, "-f", "-"); r.Code != 0 {
		return fmt.Errorf("create Astarte: %s", r.Stderr)
	}
	return nil
}
