// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// namespace holds the tiers and features of the samples.
const namespace = "nuodb-cp-system"

// story is told step by step; the first step that goes wrong ends it.
type story struct {
	ctx      context.Context
	out      *screen
	holdfast *harness.Holdfast
	user     harness.Runner // an administrator, who may do everything
	client   dynamic.Interface
	checks   int
	// chart is the folder of the stand-in for Astarte's operator.
	chart string

	// The tiers of chapters 4 to 7 as they were before.
	unused, used *unstructured.Unstructured
}

func (s *story) play() error {
	for _, chapter := range []func() error{
		s.lookAround, s.refuseUsed, s.refuseChain, s.saveUnused, s.bringBack, s.bypass, s.undo, s.refuseAgain, s.fence, s.rescue,
	} {
		if err := chapter(); err != nil {
			if s.ctx.Err() != nil {
				return fmt.Errorf("interrupted")
			}
			return err
		}
	}
	return nil
}

// run prints a command and what it prints.
func (s *story) run(line string) harness.Result {
	s.out.command(line)
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = strings.Trim(w, "'") // quotes are for the reader's shell
	}
	r := s.user.Run(s.ctx, words[0], words[1:]...)
	s.out.output(r.Output)
	return r
}

// check counts what is as it should be, and says so.
func (s *story) check(ok bool, what string, args ...any) error {
	text := fmt.Sprintf(what, args...)
	if !ok {
		return fmt.Errorf("this is not so: %s", text)
	}
	s.checks++
	s.out.done("%s", text)
	return nil
}

// all is the first check that failed.
func all(checks ...error) error {
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *story) tier(name string) (*unstructured.Unstructured, error) {
	return s.client.Resource(harness.Tiers()).Namespace(namespace).Get(s.ctx, name, metav1.GetOptions{})
}

func (s *story) lookAround() error {
	s.out.heading("1. What there is")
	s.out.say("Databases and domains run on service tiers, and tiers are made of features. The tiers carry the finalizer of NuoDB's operator and, in their status, the revisions that databases can be pinned to.")
	r := s.run("kubectl get servicetiers,helmfeatures,domains,databases --all-namespaces")
	return s.check(r.Code == 0, "tiers, features, domains and databases are there")
}

func (s *story) refuseUsed() error {
	s.out.heading("2. A tier that is in use")
	s.out.say("Without Holdfast this would be marked for deletion at once, and nothing could take that back.")
	r := s.run("kubectl delete servicetier n0.small -n " + namespace)
	tier, err := s.tier("n0.small")
	if err != nil {
		return err
	}
	return all(
		s.check(r.Code == 1, "kubectl exits with 1"),
		s.check(strings.Contains(r.Stderr, "acme-messaging-demo") && strings.Contains(r.Stderr, "domain nuodb-cp-system/acme-messaging"),
			"the refusal names the database and the domain that use it"),
		s.check(tier.GetDeletionTimestamp() == nil, "the tier is not marked for deletion"),
	)
}

func (s *story) refuseChain() error {
	s.out.heading("3. A feature that is only used through a tier")
	s.out.say("No database names the feature n1-replicas. But tier n1.small is made of it, and a database in another namespace runs on that tier.")
	r := s.run("kubectl delete helmfeature n1-replicas -n " + namespace)
	return all(
		s.check(r.Code == 1, "kubectl exits with 1"),
		s.check(strings.Contains(r.Stderr, "n1.small (in use by database tenant-b/pinned"), "the refusal shows the chain: feature, tier, database"),
	)
}

func (s *story) refuseAgain() error {
	s.out.heading("8. And the same delete as in the beginning")
	r := s.run("kubectl delete servicetier n0.small -n " + namespace)
	tier, err := s.tier("n0.small")
	if err != nil {
		return err
	}
	return all(
		s.check(r.Code == 1 && strings.Contains(r.Stderr, "is in use by"), "it is refused again"),
		s.check(tier.GetDeletionTimestamp() == nil, "the tier is not marked for deletion"),
	)
}

// gone waits until the tier is not there any more.
func (s *story) gone(name string) error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.tier(name)
		if apierrors.IsNotFound(err) {
			return s.check(true, "tier %s is gone", name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("tier %s is still there: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}
