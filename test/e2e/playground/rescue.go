// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const (
	// homeSpace is the namespace of the Astarte that is rescued.
	homeSpace = "home"
	astartes  = "astartes.api.astarte-platform.org"
)

func (s *story) rescue() (err error) {
	s.out.heading("10. The operator is uninstalled behind Holdfast's back")
	s.out.say("This operator works: a stand-in that makes and deletes what the real one does. Its Astarte has an authority that all devices trust, keys, and volumes.")
	shape := standin.Shapes()[1]
	operator, err := standin.NewInstalled(s.ctx, s.holdfast.Cluster, shape, operatorSpace)
	if err != nil {
		return err
	}
	defer operator.Close()
	if err := s.settle(operator); err != nil {
		return err
	}
	before, err := s.secrets()
	if err != nil {
		return err
	}
	s.out.say("")
	s.out.say("Holdfast is stopped, what it has registered is removed, and the operator uninstalled.")
	s.out.command(fmt.Sprintf("kill %d    # holdfast serve", s.holdfast.PID()))
	if err := s.holdfast.Stop(); err != nil {
		return err
	}
	s.run("kubectl delete validatingwebhookconfiguration holdfast")
	s.run("kubectl delete validatingadmissionpolicybinding holdfast-fence-deny holdfast-fence-warn")
	if err := s.until("the API server has learned of it", func() bool {
		return s.user.Kubectl(s.ctx, "delete", "namespace", operatorSpace, "--dry-run=server").Code == 0
	}); err != nil {
		return err
	}
	r := s.run("helm4 uninstall astarte-operator -n " + operatorSpace)
	if err := s.check(r.Code == 0, "nobody has refused anything"); err != nil {
		return err
	}
	s.out.command("holdfast " + strings.Join(s.holdfast.Args, " ") + " &")
	if err := s.holdfast.Start(s.ctx); err != nil {
		return err
	}
	r = s.run("holdfast recovery scan")
	if err := all(
		s.check(r.Code == 1 && strings.Contains(r.Stdout, "critical  "+astartes+" "+homeSpace+"/home\n    it is Terminating"), "the scan finds the Astarte: whoever installs the operator again now loses all that belongs to it"),
		s.check(strings.Contains(r.Stdout, "critical  release "+operatorSpace+"/astarte-operator"), "and that its operator is gone"),
	); err != nil {
		return err
	}
	s.out.say("")
	s.out.say("One command keeps what belongs to the Astarte, lets the old one go, brings the operator back from what Helm had stored, and creates the Astarte again. What it does and waits for goes to standard error.")
	return s.bringHome(before)
}

// settle installs the operator, and waits until its Astarte is complete and saved.
func (s *story) settle(operator *standin.Installed) error {
	if r := s.run("helm4 install astarte-operator " + operator.Chart + " -n " + operatorSpace); r.Code != 0 {
		return fmt.Errorf("the operator could not be installed")
	}
	s.out.command("kubectl create -f home.yaml    # an Astarte, its ingresses, and a Flow")
	creator := &standin.Operator{Shape: operator.Shape}
	if err := s.until("the Astarte is made, and what belongs to it", func() bool {
		if creator.CreateAstarte(s.ctx, s.user, homeSpace, "home") != nil {
			return false
		}
		made := s.user.Kubectl(s.ctx, "get", "astarte,statefulset,secret", "-n", homeSpace, "-o", "name").Stdout
		return strings.Contains(made, "statefulset.apps/home-vernemq") && strings.Contains(made, "secret/home-devices-ca")
	}); err != nil {
		return err
	}
	if err := s.until("Holdfast has saved it, and the release of its operator", func() bool {
		sets := s.user.Holdfast(s.ctx, "recovery", "list", "astartedefaultingresses", "-n", homeSpace).Stdout
		release := s.user.Holdfast(s.ctx, "recovery", "list", "secrets", "-n", operatorSpace).Stdout
		keys := s.user.Holdfast(s.ctx, "recovery", "list", "secrets", "-n", homeSpace).Stdout
		return strings.Contains(keys, "home-flow-") && strings.Contains(sets, "home-adi") && strings.Contains(release, "sh.helm.release.v1.astarte-operator")
	}); err != nil {
		return err
	}
	// It looks for kinds that are new every 30 s only.
	return s.holdfast.Cluster.RestartControllerManager()
}

// bringHome rescues the Astarte and compares its Secrets with before.
func (s *story) bringHome(before map[string]string) error {
	line := "holdfast recovery undo " + astartes + " home -n " + homeSpace + " --yes"
	s.out.command(line)
	patient := s.user
	patient.Timeout = 5 * time.Minute
	r := patient.Holdfast(s.ctx, strings.Fields(line)[1:]...)
	s.out.output(r.Stdout)
	if r.Code != 0 {
		return fmt.Errorf("the rescue ended with exit code %d: %s", r.Code, r.Stderr)
	}
	after, err := s.secrets()
	if err != nil {
		return err
	}
	for name, was := range before {
		if after[name] != was {
			return fmt.Errorf("secret %s is not what it was", name)
		}
	}
	live := s.run("kubectl get " + astartes + " -n " + homeSpace)
	return all(
		s.check(len(before) > 10, "all %d Secrets have the same bytes, and those of the Astarte itself are the same ones", len(before)),
		s.check(live.Code == 0 && strings.Contains(live.Stdout, "home"), "the Astarte is back"),
		s.check(s.user.Kubectl(s.ctx, "get", "astartedefaultingress", "home-adi", "-n", homeSpace).Code == 0, "and what exposes it"),
	)
}

// secrets are the contents of all Secrets, and the UIDs of those that the Astarte owns itself.
func (s *story) secrets() (map[string]string, error) {
	list, err := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(homeSpace).List(s.ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, secret := range list.Items {
		found[secret.GetName()] = fmt.Sprint(secret.Object["data"])
		if !strings.Contains(secret.GetName(), "-flow-") { // which goes with its Flow
			found[secret.GetName()] += fmt.Sprint(secret.GetUID())
		}
	}
	return found, nil
}
