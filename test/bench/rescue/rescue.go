// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/rescue"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const (
	holdfastNamespace = "holdfast-system"
	house, operators  = "astarte", "operators"
	astartes          = "astartes.api.astarte-platform.org"
)

// counting counts requests.
type counting struct {
	next http.RoundTripper
	mu   sync.Mutex
	n    map[string]int
}

// RoundTrip implements http.RoundTripper.
func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.n[r.Method]++
	c.mu.Unlock()
	return c.next.RoundTrip(r)
}

// String is how many there were, and of which kind.
func (c *counting) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	var verbs []string
	for _, verb := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		total += c.n[verb]
		verbs = append(verbs, fmt.Sprintf("%s %d", verb, c.n[verb]))
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(verbs, ", "))
}

// helm brings the operator back, and keeps how long that took.
type helm struct {
	install func(context.Context) error
	took    time.Duration
}

// Steps implements rescue.Operator.
func (h *helm) Steps(context.Context, release.Key) ([]string, error) { return nil, nil }

// BringBack implements rescue.Operator.
func (h *helm) BringBack(ctx context.Context, _ release.Key) error {
	began := time.Now()
	defer func() { h.took = time.Since(began) }()
	return h.install(ctx)
}

// newRecovery is the library over clients whose requests are counted.
func newRecovery(config *rest.Config) (*recovery.Recovery, kubernetes.Interface, error) {
	return harness.NewRecovery(config, holdfastNamespace, "astarte")
}

// measureRescue measures the rescue of an Astarte.
func measureRescue(ctx context.Context, admin harness.Runner) ([]string, error) {
	operator, err := standin.NewInstalled(ctx, admin.Cluster, standin.Shapes()[1], operators)
	if err != nil {
		return nil, err
	}
	defer operator.Close()
	run := func(ctx context.Context, name string, args ...string) error {
		if r := admin.Run(ctx, name, args...); r.Code != 0 {
			return errors.New(r.Output)
		}
		return nil
	}
	install := func(ctx context.Context) error {
		return run(ctx, "helm4", "upgrade", "--install", standin.Release, operator.Chart, "-n", operators)
	}
	if err := settle(ctx, admin, operator, install); err != nil {
		return nil, err
	}
	if err := run(ctx, "helm4", "uninstall", standin.Release, "-n", operators); err != nil {
		return nil, err
	}
	if err := until(ctx, "its definition is Terminating", func() bool {
		return admin.Kubectl(ctx, "get", "crd", astartes, "-o", "jsonpath={.metadata.deletionTimestamp}").Stdout != ""
	}); err != nil {
		return nil, err
	}
	return timed(ctx, admin, install)
}

// timed rescues the Astarte, and counts.
func timed(ctx context.Context, admin harness.Runner, install func(context.Context) error) ([]string, error) {
	calls := &counting{n: map[string]int{}}
	config := rest.CopyConfig(admin.Cluster.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { calls.next = next; return calls })
	r, kube, err := newRecovery(config)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(admin.Cluster.Dir, "journal-")
	if err != nil {
		return nil, err
	}
	h := &helm{install: install}
	rescuer := &rescue.Rescue{
		Recovery: r, Operator: h, Tell: func(rescue.Event) {},
		Journals: &journal.Keeper{Kube: kube, Namespace: holdfastNamespace, Dir: dir, Self: journal.Self("bench"), Now: time.Now},
		Fresh: func(context.Context) (*recovery.Recovery, error) {
			fresh, _, err := newRecovery(config)
			return fresh, err
		},
	}
	began := time.Now()
	plan, err := rescuer.Plan(ctx, []types.NamespacedName{{Namespace: house, Name: "one"}})
	if err != nil {
		return nil, err
	}
	if _, err := rescuer.Run(ctx, plan, "bench"); err != nil {
		return nil, err
	}
	took := time.Since(began)
	what := fmt.Sprintf("rescue of an Astarte with %d dependents", plan.Dependents())
	return []string{
		row(what+": requests", calls.String(), "-"),
		row(what+": time, without that of Helm", (took - h.took).Round(10*time.Millisecond).String(), "-"),
		row("the same, with the operator's installation by Helm", took.Round(10*time.Millisecond).String(), "-"),
	}, nil
}

// settle installs the operator, and returns when its Astarte is complete.
func settle(ctx context.Context, admin harness.Runner, operator *standin.Installed, install func(context.Context) error) error {
	if err := install(ctx); err != nil {
		return err
	}
	creator := &standin.Operator{Shape: operator.Shape}
	if err := until(ctx, "the Astarte is complete", func() bool {
		if creator.CreateAstarte(ctx, admin, house, "one") != nil {
			return false
		}
		return admin.Kubectl(ctx, "get", "astarte", "one", "-n", house, "-o", "jsonpath={.status.astarteVersion}").Stdout != ""
	}); err != nil {
		return err
	}
	return admin.Cluster.RestartControllerManager()
}

func until(ctx context.Context, what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
