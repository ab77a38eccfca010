// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// Replicas is an installation with several processes behind a balancer.
type Replicas struct {
	*Balancer
	// Each may be started, stopped and killed by itself.
	Each []*Holdfast
}

// InstallReplicas is Install with a balancer in the place of the Service and n
// processes, none of which runs yet.
func InstallReplicas(ctx context.Context, cluster *controlplane.Cluster, options Options, n int) (*Replicas, error) {
	balancer, err := NewBalancer()
	if err != nil {
		return nil, err
	}
	values := map[string]any{"webhookURL": "https://" + balancer.Address}
	for key, value := range options.Values {
		values[key] = value
	}
	options.Values = values
	first, err := Install(ctx, cluster, options)
	if err != nil {
		return nil, err
	}
	r := &Replicas{Balancer: balancer, Each: []*Holdfast{first}}
	for len(r.Each) < n {
		another, err := first.another()
		if err != nil {
			return nil, err
		}
		r.Each = append(r.Each, another)
	}
	var backends []string
	for _, h := range r.Each {
		backends = append(backends, strings.TrimPrefix(h.WebhookURL, "https://"))
	}
	balancer.SetBackends(backends...)
	return r, nil
}

// another is the same installation's next process: with the same arguments, but
// for its ports, which the replicas of a Deployment need not share.
func (h *Holdfast) another() (*Holdfast, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(h.Cluster.Dir, "holdfast-")
	if err != nil {
		return nil, fmt.Errorf("install replica: %w", err)
	}
	loopback := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	own := map[string]string{
		"--port=":                      fmt.Sprint(ports[0]),
		"--metrics-bind-address=":      loopback(1),
		"--health-probe-bind-address=": loopback(2),
	}
	other := &Holdfast{
		Cluster: h.Cluster, Namespace: h.Namespace, Binary: h.Binary, Kubeconfig: h.Kubeconfig, Rights: h.Rights,
		WebhookURL: "https://" + loopback(0), MetricsURL: "http://" + loopback(1), HealthURL: "http://" + loopback(2),
		dir: dir, log: filepath.Join(dir, "serve.log"),
	}
	for _, arg := range h.Args {
		for flag, value := range own {
			if strings.HasPrefix(arg, flag) {
				arg = flag + value
			}
		}
		other.Args = append(other.Args, arg)
	}
	return other, nil
}

// Start starts those that do not run and returns when all are ready.
func (r *Replicas) Start(ctx context.Context) error {
	for _, h := range r.Each {
		if h.Running() {
			continue
		}
		if err := h.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop asks all to end and waits until they have, and ends the balancer.
func (r *Replicas) Stop() error {
	for _, h := range r.Each {
		if err := h.Stop(); err != nil {
			return err
		}
	}
	return r.Close()
}

// Logs is what all of them have logged.
func (r *Replicas) Logs() (string, error) {
	var all strings.Builder
	for i, h := range r.Each {
		text, err := h.Logs()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "replica %d:\n%s\n", i, text)
	}
	return all.String(), nil
}
