// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// compare checks that the tier of that name is in every respect what it was
// before, except for its identity.
func (s *story) compare(before *unstructured.Unstructured) error {
	after, err := s.tier(before.GetName())
	if err != nil {
		return err
	}
	s.out.say("")
	s.out.say("Compared with the tier before its deletion:")
	if err := all(
		s.check(after.GetDeletionTimestamp() == nil, "it is not marked for deletion"),
		s.check(after.GetUID() != before.GetUID(), "it is a new object (uid %.8s, before %.8s)", after.GetUID(), before.GetUID()),
		s.same(before, after, "spec"),
		s.same(before, after, "metadata", "labels"),
		s.same(before, after, "metadata", "annotations"),
		s.same(before, after, "metadata", "finalizers"),
		s.same(before, after, "status"),
	); err != nil {
		return err
	}
	revisions, _, err := unstructured.NestedSlice(after.Object, "status", "history", "revisions")
	if err != nil {
		return err
	}
	return s.check(len(revisions) == 2, "its status has its history of %d revisions, to which databases can be pinned", len(revisions))
}

// same checks one part of the tier.
func (s *story) same(before, after *unstructured.Unstructured, path ...string) error {
	was, found, err := unstructured.NestedFieldNoCopy(before.Object, path...)
	if err != nil {
		return err
	}
	is, _, err := unstructured.NestedFieldNoCopy(after.Object, path...)
	if err != nil {
		return err
	}
	what := path[len(path)-1]
	if !found {
		return s.check(is == nil, "%s: none, as before", what)
	}
	if !equality.Semantic.DeepEqual(was, is) {
		return fmt.Errorf("%s of the tier: was %v and is %v", strings.Join(path, "."), was, is)
	}
	return s.check(true, "%s: the same", what)
}
