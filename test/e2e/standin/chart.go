// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// Installed is an operator that is installed by its own chart: it runs while its
// Deployment exists, as its ServiceAccount, and serves its webhooks.
type Installed struct {
	Shape Shape
	// Chart is the folder of its chart.
	Chart string
	// Namespace is that of its release.
	Namespace string

	cluster *controlplane.Cluster
	kube    kubernetes.Interface
	hooks   *webhooks
	stop    context.CancelFunc
	ended   chan struct{}
}

// NewInstalled makes the chart of the operator and is ready to run as soon as
// somebody installs it in namespace.
func NewInstalled(ctx context.Context, cluster *controlplane.Cluster, shape Shape, namespace string) (*Installed, error) {
	i := &Installed{Shape: shape, Namespace: namespace, cluster: cluster, ended: make(chan struct{})}
	var err error
	if i.kube, err = kubernetes.NewForConfig(cluster.Config); err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cluster.Config)
	if err != nil {
		return nil, err
	}
	i.hooks = newWebhooks(&Operator{Shape: shape, Client: client, Kube: i.kube})
	if i.Chart, err = os.MkdirTemp(cluster.Dir, "chart-"); err == nil {
		err = i.writeChart(ctx)
	}
	if err != nil {
		i.hooks.server.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	i.stop = stop
	go i.run(running)
	return i, nil
}

// Close ends it.
func (i *Installed) Close() {
	i.stop()
	<-i.ended
	i.hooks.server.Close()
}

// run works as long as the Deployment is there, until ctx ends.
func (i *Installed) run(ctx context.Context) {
	defer close(i.ended)
	var operator *Operator
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := i.kube.AppsV1().Deployments(i.Namespace).Get(ctx, Release, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			operator = nil
			i.hooks.running.Store(false)
		case err == nil && operator == nil:
			if operator, err = i.asServiceAccount(ctx); err == nil {
				i.hooks.running.Store(true)
			}
		case err == nil:
			_ = operator.Round(ctx) // what comes and goes is met again in the next one
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// asServiceAccount is the operator with the rights of its chart. These go before
// the definitions do, so that one that is still shutting down cannot finalize.
func (i *Installed) asServiceAccount(ctx context.Context) (*Operator, error) {
	path, err := i.cluster.KubeconfigFor(ctx, i.Namespace, Release)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.WarningHandler = 1000, 2000, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	return &Operator{Shape: i.Shape, Client: client, Kube: kube}, err
}

func (i *Installed) writeChart(ctx context.Context) error {
	crds, err := i.definitions(ctx)
	if err != nil {
		return err
	}
	templates := filepath.Join(i.Chart, "templates")
	return errors.Join(
		os.MkdirAll(templates, 0o700),
		os.WriteFile(filepath.Join(i.Chart, "Chart.yaml"), fmt.Appendf(nil, "apiVersion: v2\nname: astarte-operator\nversion: %s\n", i.version()), 0o600),
		os.WriteFile(filepath.Join(templates, "crds.yaml"), []byte(crds), 0o600),
		os.WriteFile(filepath.Join(templates, "operator.yaml"), []byte(i.manifest()), 0o600),
	)
}

// version is that of the chart; the operator that was not released yet has none.
func (i *Installed) version() string {
	if strings.Count(i.Shape.Name, ".") == 2 {
		return strings.TrimPrefix(i.Shape.Name, "v")
	}
	return "0.0.0"
}

// definitions are the chart's, with the conversion webhook where it is served.
// They are templates, so that they go with the release unless they are kept.
func (i *Installed) definitions(ctx context.Context) (string, error) {
	path, err := harness.Testdata(ctx, "astarte", "crds-"+i.Shape.Name+".yaml")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var docs []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &crd.Object); err != nil {
			return "", err
		}
		if _, converts, _ := unstructured.NestedMap(crd.Object, "spec", "conversion", "webhook"); converts {
			err := unstructured.SetNestedMap(crd.Object, i.clientConfig("/convert"), "spec", "conversion", "webhook", "clientConfig")
			if err != nil {
				return "", err
			}
		}
		out, err := yaml.Marshal(crd.Object)
		if err != nil {
			return "", err
		}
		docs = append(docs, string(out))
	}
	return strings.Join(docs, "---\n"), nil
}

func (i *Installed) clientConfig(path string) map[string]any {
	return map[string]any{"url": i.hooks.server.URL + path, "caBundle": base64.StdEncoding.EncodeToString(i.hooks.ca())}
}

// manifest is the rest of the chart. Its webhooks fail closed and are asked
// about CREATE and UPDATE of all its kinds, never about DELETE (seen: all three).
func (i *Installed) manifest() string {
	hook := func(kind, name, path string) string {
		return fmt.Sprintf(`---
apiVersion: admissionregistration.k8s.io/v1
kind: %s
metadata: {name: astarte-operator-%s}
webhooks:
- name: %s.kb.io
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: %q, caBundle: %s}
  rules:
  - apiGroups: [api.astarte-platform.org, ingress.astarte-platform.org, flow.astarte-platform.org]
    apiVersions: ["*"]
    operations: [CREATE, UPDATE]
    resources: [astartes, astartevoyageringresses, flows, astartedefaultingresses]
`, kind, name, name, i.hooks.server.URL+path, base64.StdEncoding.EncodeToString(i.hooks.ca()))
	}
	return fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: {{ .Release.Namespace }}, labels: {app.kubernetes.io/managed-by: Helm}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: {{ .Release.Namespace }}}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s-webhook-service, namespace: {{ .Release.Namespace }}}
spec: {selector: {app: %[1]s}, ports: [{port: 443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: {{ .Release.Namespace }}, labels: {app.kubernetes.io/managed-by: Helm}}
spec:
  replicas: 0
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {serviceAccountName: %[1]s, containers: [{name: manager, image: example.invalid/operator}]}
`, Release) + hook("ValidatingWebhookConfiguration", "vastarte", "/validate") + hook("MutatingWebhookConfiguration", "mastarte", "/mutate")
}
