// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// operatorSpace is the namespace of Astarte's operator.
const operatorSpace = "astarte-operator"

// operatorChart writes the chart of the stand-in for Astarte's operator.
func operatorChart(ctx context.Context, dir string) (string, error) {
	dir = filepath.Join(dir, "astarte-operator")
	return dir, harness.OperatorChart(ctx, dir, "v23.5.2")
}

const astarte = `{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: house, namespace: astarte}, spec: {cassandra: {deploy: false}}}`

func (s *story) fence() error {
	s.out.heading("9. An operator, with what it looks after")
	s.out.say("Astarte's operator is a Helm release that also owns the definitions. Uninstalling it deletes the operator first, then the definitions, and every Astarte with them.")
	r := s.run("helm4 install astarte-operator " + s.chart + " -n " + operatorSpace)
	if r.Code != 0 {
		return fmt.Errorf("the operator could not be installed")
	}
	if r = s.run("kubectl create namespace astarte"); r.Code != 0 {
		return fmt.Errorf("the namespace could not be made")
	}
	s.out.command("kubectl create -f house.yaml    # an Astarte")
	if err := s.until("the Astarte is made", func() bool {
		return s.user.RunInput(s.ctx, astarte, "kubectl", "apply", "--server-side", "-f", "-").Code == 0
	}); err != nil {
		return err
	}
	if err := s.until("Holdfast has fenced the operator", func() bool {
		return strings.Contains(s.user.Kubectl(s.ctx, "delete", "namespace", operatorSpace, "--dry-run=server").Stderr, "has fenced")
	}); err != nil {
		return err
	}
	before := s.whole()
	r = s.run("helm4 uninstall astarte-operator -n " + operatorSpace)
	if err := all(
		s.check(r.Code == 1 && strings.Contains(r.Stderr, "has fenced Helm release"), "helm exits with 1 and says why"),
		s.check(before != "" && s.whole() == before, "every object of the release is what it was, its webhook configurations and definitions too"),
	); err != nil {
		return err
	}
	s.out.say("")
	s.out.say("Whoever has to do it nevertheless gives a reason, and has 15 minutes:")
	if r = s.run("holdfast approve release astarte-operator -n " + operatorSpace + " --reason decommissioned"); r.Code != 0 {
		return fmt.Errorf("approve ended with exit code %d", r.Code)
	}
	if err := s.until("the fence is open", func() bool {
		return s.user.Kubectl(s.ctx, "delete", "namespace", operatorSpace, "--dry-run=server").Code == 0
	}); err != nil {
		return err
	}
	r = s.run("helm4 uninstall astarte-operator -n " + operatorSpace)
	if err := s.check(r.Code == 0, "the operator is gone, and with it, saved, the Astarte"); err != nil {
		return err
	}
	r = s.run("holdfast recovery list astarte house -n astarte")
	return s.check(r.Code == 0 && strings.Contains(r.Stdout, "house"), "which can be brought back")
}

// whole is the identity and version of everything that the release consists of.
func (s *story) whole() string {
	kinds := "customresourcedefinitions,validatingwebhookconfigurations,mutatingwebhookconfigurations,clusterroles,clusterrolebindings"
	const columns = "custom-columns=KIND:.kind,NAME:.metadata.name,UID:.metadata.uid,VERSION:.metadata.resourceVersion"
	cluster := s.user.Kubectl(s.ctx, "get", kinds, "-l", "app.kubernetes.io/managed-by=Helm", "-o", columns)
	namespaced := s.user.Kubectl(s.ctx, "get", "deployments,services,serviceaccounts,secrets", "-n", operatorSpace, "-o", columns)
	return cluster.Stdout + namespaced.Stdout
}

// until waits for what takes a moment.
func (s *story) until(what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if so() {
			return s.check(true, "%s", what)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("this does not come: %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
