// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

func (s *story) saveUnused() error {
	s.out.heading("4. A tier that nothing uses")
	s.out.say("It may go. But it is saved first, and kubectl says how to bring it back.")
	var err error
	if s.unused, err = s.tier("n2.unused"); err != nil {
		return err
	}
	r := s.run("kubectl delete servicetier n2.unused -n " + namespace + " --wait=false")
	if err := all(
		s.check(r.Code == 0, "the delete is accepted"),
		s.check(strings.Contains(r.Stderr, "bring it back with: holdfast recovery restore"), "a warning tells that it was saved"),
	); err != nil {
		return err
	}
	s.out.say("")
	s.out.say("Its finalizer holds it until NuoDB's operator has cleaned up. No operator runs here; what it does in the end is this:")
	r = s.run("kubectl patch servicetier n2.unused -n " + namespace + ` --type=merge -p '{"metadata":{"finalizers":null}}'`)
	if r.Code != 0 {
		return fmt.Errorf("the finalizer could not be removed: %s", r.Stderr)
	}
	return s.gone("n2.unused")
}

func (s *story) bringBack() error {
	s.out.heading("5. Bringing it back")
	if err := s.until("every version is saved as it is seen", func() bool {
		return lineWith(s.user.Holdfast(s.ctx, "recovery", "list").Stdout, "n0.small", "present")
	}); err != nil {
		return err
	}
	r := s.run("holdfast recovery list")
	if err := all(
		s.check(r.Code == 0 && strings.Contains(r.Stdout, "n2.unused"), "the list of snapshots has the tier"),
		s.check(lineWith(r.Stdout, "n0.small", "present"), "and what was never deleted too, for it is saved at every change"),
	); err != nil {
		return err
	}
	r = s.run("holdfast recovery list servicetier n2.unused -n " + namespace + " -o name")
	id, _, _ := strings.Cut(r.Stdout, "\n")
	r = s.run("holdfast recovery restore " + id + " --yes")
	if r.Code != 0 {
		return fmt.Errorf("restore ended with exit code %d", r.Code)
	}
	return s.compare(s.unused)
}

func (s *story) bypass() error {
	s.out.heading("6. Somebody goes round the guardrail")
	s.out.say("Holdfast is stopped, its webhook configuration is removed, and the tier that is in use is deleted. An administrator can do that, by mistake or in a hurry.")
	var err error
	if s.used, err = s.tier("n0.small"); err != nil {
		return err
	}
	s.out.command(fmt.Sprintf("kill %d    # holdfast serve", s.holdfast.PID()))
	if err := s.holdfast.Stop(); err != nil {
		return err
	}
	removed := s.run("kubectl delete validatingwebhookconfiguration holdfast")
	deleted := s.run("kubectl delete servicetier n0.small -n " + namespace + " --wait=false")
	s.run("kubectl get servicetier n0.small -n " + namespace + " -o custom-columns=NAME:.metadata.name,DELETED:.metadata.deletionTimestamp,FINALIZERS:.metadata.finalizers")
	tier, err := s.tier("n0.small")
	if err != nil {
		return err
	}
	if err := all(
		s.check(removed.Code == 0 && deleted.Code == 0, "nobody has refused anything"),
		s.check(tier.GetDeletionTimestamp() != nil && len(tier.GetFinalizers()) > 0, "the tier hangs Terminating: only its finalizer still holds it, and Kubernetes knows no way back"),
	); err != nil {
		return err
	}
	s.out.say("")
	s.out.say("Holdfast comes back, with the arguments and the rights that the chart gives it:")
	s.out.command("holdfast " + strings.Join(s.holdfast.Args, " ") + " &")
	if err := s.holdfast.Start(s.ctx); err != nil {
		return err
	}
	r := s.run("kubectl get validatingwebhookconfiguration holdfast")
	return s.check(r.Code == 0, "it has registered itself again")
}

func (s *story) undo() error {
	s.out.heading("7. Undoing the deletion")
	s.out.say("By hand this takes an export, a script that edits it, a patch of the finalizers and a create, and it loses the revision history. Here it is one command, which saves the tier, lets the old one go and creates it again in the same moment.")
	r := s.run("holdfast recovery undo servicetier n0.small -n " + namespace + " --yes")
	if r.Code != 0 {
		return fmt.Errorf("undo ended with exit code %d", r.Code)
	}
	return s.compare(s.used)
}

// lineWith tells whether a line of text has all of words.
func lineWith(text string, words ...string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}
