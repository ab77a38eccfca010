// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package harness runs Holdfast against a real control plane as its chart would
// run it: 'holdfast serve' is a process with exactly the arguments of the
// rendered Deployment and the token of the rendered ServiceAccount, which has
// exactly the rendered rights. Only the Deployment and the Service themselves
// are left out, for there are no nodes; the API server reaches the process on
// loopback, by the chart's value webhookURL.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/process"
)

// Options say how Holdfast is installed.
type Options struct {
	// Namespace is Holdfast's own, holdfast-system by default.
	Namespace string
	// Profiles are the built-in profiles to switch on: nuodb when neither they
	// nor ProfileFiles are given.
	Profiles []string
	// ProfileFiles are further profiles: file name and text.
	ProfileFiles map[string]string
	// Values are further values of the chart.
	Values map[string]any
	// Helm is helm3 or helm4 to let it install the whole chart, the Deployment
	// included, whose Pods find no node. By default kubectl applies the rights alone.
	Helm string
}

// Holdfast is an installation whose process may run or not.
type Holdfast struct {
	// Cluster is where it is installed.
	Cluster *controlplane.Cluster
	// Namespace is Holdfast's own.
	Namespace string
	// Binary is the built program.
	Binary string
	// Kubeconfig is that of Holdfast's service account.
	Kubeconfig string
	// Args are the arguments of the Deployment's container.
	Args []string
	// WebhookURL is where the API server reaches it. MetricsURL and HealthURL
	// are the bases of /metrics, /readyz and /healthz.
	WebhookURL, MetricsURL, HealthURL string
	// Rights are the rendered ServiceAccount and RBAC objects, and the
	// CustomResourceDefinitions.
	Rights []*unstructured.Unstructured

	dir  string
	helm string
	mu   sync.Mutex
	run  *process.Process
	log  string
}

// Install renders the chart, creates the namespace and applies the rendered
// rights. It does not start the process.
func Install(ctx context.Context, cluster *controlplane.Cluster, options Options) (*Holdfast, error) {
	if options.Namespace == "" {
		options.Namespace = "holdfast-system"
	}
	if len(options.Profiles) == 0 && len(options.ProfileFiles) == 0 {
		options.Profiles = []string{"nuodb"}
	}
	h := &Holdfast{Cluster: cluster, Namespace: options.Namespace, helm: options.Helm}
	var err error
	if h.Binary, err = Build(ctx); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp(cluster.Dir, "holdfast-"); err != nil {
		return nil, fmt.Errorf("install holdfast: %w", err)
	}
	h.log = filepath.Join(h.dir, "serve.log")
	values, err := h.values(options)
	if err != nil {
		return nil, fmt.Errorf("install holdfast: %w", err)
	}
	if err := h.render(ctx, values); err != nil {
		return nil, err
	}
	return h, h.Apply(ctx)
}

// values are the chart's values; the ports are free ones.
func (h *Holdfast) values(options Options) (map[string]any, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	loopback := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	h.WebhookURL, h.MetricsURL, h.HealthURL = "https://"+loopback(0), "http://"+loopback(1), "http://"+loopback(2)
	values := map[string]any{
		// Suites that are about it switch it on; the others can tell by what is
		// saved what the admission has done. With the variable all have it.
		"continuousBackup":       os.Getenv("HOLDFAST_CONTINUOUS_BACKUP") != "",
		"profiles":               options.Profiles,
		"webhookURL":             h.WebhookURL,
		"port":                   ports[0],
		"metricsBindAddress":     loopback(1),
		"healthProbeBindAddress": loopback(2),
	}
	if len(options.ProfileFiles) > 0 {
		dir := filepath.Join(h.dir, "profiles")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		for name, text := range options.ProfileFiles {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
		values["profileFiles"], values["profileFilesPath"] = options.ProfileFiles, dir
	}
	for key, value := range options.Values {
		values[key] = value
	}
	return values, nil
}

// render lets Helm render the chart and keeps what is needed of it.
func (h *Holdfast) render(ctx context.Context, values map[string]any) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("render chart: %w", err)
	}
	file := filepath.Join(h.dir, "values.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("render chart: %w", err)
	}
	result := h.admin().Run(ctx, "helm4", "template", "holdfast", filepath.Join(root, "config", "chart", "holdfast"),
		"--namespace", h.Namespace, "--values", file)
	if result.Code != 0 {
		return fmt.Errorf("render chart: helm exited with %d: %s", result.Code, result.Stderr)
	}
	return h.take([]byte(result.Stdout))
}

// take picks the rights and the container's arguments from the rendered chart.
func (h *Holdfast) take(manifests []byte) error {
	rights := []string{"CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read rendered chart: %w", err)
		}
		o := &unstructured.Unstructured{Object: object}
		switch {
		case slices.Contains(rights, o.GetKind()):
			h.Rights = append(h.Rights, o)
		case o.GetKind() == "Deployment":
			var deployment appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &deployment); err != nil {
				return fmt.Errorf("read rendered Deployment: %w", err)
			}
			h.Args = deployment.Spec.Template.Spec.Containers[0].Args
		}
	}
	if len(h.Args) == 0 || len(h.Rights) == 0 {
		return errors.New("read rendered chart: it has no Deployment with arguments, or grants nothing")
	}
	return nil
}

// Apply creates the namespace and the rendered rights, or puts them right, and
// takes a new token for the service account. A running process keeps its old one.
func (h *Holdfast) Apply(ctx context.Context) error {
	var err error
	if h.helm == "" {
		err = h.applyRights(ctx)
	} else {
		err = h.Upgrade(ctx)
	}
	if err != nil {
		return err
	}
	h.Kubeconfig, err = h.Cluster.KubeconfigFor(ctx, h.Namespace, "holdfast")
	return err
}

// Upgrade installs or upgrades the release "holdfast" with further arguments
// for Helm, such as --set. They do not reach the process.
func (h *Holdfast) Upgrade(ctx context.Context, args ...string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	args = append([]string{
		"upgrade", "--install", "holdfast", filepath.Join(root, "config", "chart", "holdfast"),
		"--namespace", h.Namespace, "--create-namespace", "--values", filepath.Join(h.dir, "values.json"),
	}, args...)
	if result := h.admin().Run(ctx, h.helm, args...); result.Code != 0 {
		return fmt.Errorf("install chart: %s exited with %d: %s", h.helm, result.Code, result.Stderr)
	}
	return nil
}

func (h *Holdfast) applyRights(ctx context.Context) error {
	docs := []string{fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", h.Namespace)}
	for _, o := range h.Rights {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("apply rights: %w", err)
		}
		docs = append(docs, string(text))
	}
	result := h.admin().RunInput(ctx, strings.Join(docs, "---\n"), "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-")
	if result.Code != 0 {
		return fmt.Errorf("apply rights: kubectl exited with %d: %s", result.Code, result.Stderr)
	}
	return nil
}

// admin runs commands as an administrator.
func (h *Holdfast) admin() Runner {
	return Runner{Cluster: h.Cluster, Kubeconfig: h.Cluster.Kubeconfig}
}

// Admin runs commands as an administrator, 'holdfast' among them.
func (h *Holdfast) Admin() Runner {
	r := h.admin()
	r.Binary = h.Binary
	return r
}

// freePorts are ports on loopback that nothing listens on now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed in a moment
		if err != nil {
			return nil, fmt.Errorf("find free port: %w", err)
		}
		defer listener.Close() //nolint:errcheck // all are held until the last is found, so that they differ
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
