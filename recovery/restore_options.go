// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Existing is what a restore does about an object that bears the name of one
// that it brings back.
type Existing string

const (
	// ExistingFail refuses it; the default.
	ExistingFail Existing = "fail"
	// ExistingSkip leaves the object that is there as it is.
	ExistingSkip Existing = "skip"
	// ExistingMerge applies what is saved to it; fields of others stay, and
	// those that others have set differently are conflicts.
	ExistingMerge Existing = "merge"
	// ExistingReplace makes it be as it was saved.
	ExistingReplace Existing = "replace"
)

// RestoreOptions say how a restore goes about it.
type RestoreOptions struct {
	// Trial tries every write without effect, and refuses what the API server
	// would refuse.
	Trial bool
	// Existing is what becomes of objects that are there; empty is ExistingFail.
	Existing Existing
	// ToNamespace brings namespaced objects back in another namespace than
	// theirs, with the references between them.
	ToNamespace string
	// Only and Except select objects: RESOURCE, RESOURCE.GROUP, or either with
	// /NAME, where NAME may have *. Empty Only selects all.
	Only, Except []string
}

// changes says that objects that exist may be changed.
func (o RestoreOptions) changes() bool {
	return o.Existing == ExistingMerge || o.Existing == ExistingReplace
}

// Check finds fault with patterns, and with values that are none.
func (o RestoreOptions) Check() error {
	switch o.Existing {
	case "", ExistingFail, ExistingSkip, ExistingMerge, ExistingReplace:
	default:
		return fmt.Errorf("%q is none of fail, skip, merge and replace", o.Existing)
	}
	if problems := validation.IsDNS1123Label(o.ToNamespace); o.ToNamespace != "" && len(problems) > 0 {
		return fmt.Errorf("%q is not the name of a namespace: %s", o.ToNamespace, problems[0])
	}
	for _, pattern := range append(append([]string{}, o.Only...), o.Except...) {
		resource, name, _ := strings.Cut(pattern, "/")
		if _, err := path.Match(name, ""); err != nil || resource == "" || strings.Contains(name, "/") {
			return fmt.Errorf("%q is not RESOURCE, RESOURCE.GROUP or one of these with /NAME", pattern)
		}
	}
	return nil
}

// selects says that the named object is among those to be restored.
func (o RestoreOptions) selects(gr schema.GroupResource, name string) bool {
	return (len(o.Only) == 0 || anyMatches(o.Only, gr, name)) && !anyMatches(o.Except, gr, name)
}

// ErrSelectsNothing means that a pattern is about nothing that could be restored.
var ErrSelectsNothing = errors.New("selects nothing of what is saved there")

// checkAbout finds patterns that are about none of what is saved: a typing
// error would bring back what was to be left out.
func (o RestoreOptions) checkAbout(saved []*Item) error {
	for _, pattern := range append(append([]string{}, o.Only...), o.Except...) {
		about := slices.ContainsFunc(saved, func(i *Item) bool { return anyMatches([]string{pattern}, i.groupResource(), i.Name) })
		if !about {
			return fmt.Errorf("%q %w; resources are named as 'holdfast recovery list' does", pattern, ErrSelectsNothing)
		}
	}
	return nil
}

func anyMatches(patterns []string, gr schema.GroupResource, name string) bool {
	for _, pattern := range patterns {
		resource, wanted, named := strings.Cut(strings.ToLower(pattern), "/")
		if resource != gr.Resource && resource != gr.String() {
			continue
		}
		if ok, err := path.Match(wanted, name); !named || (err == nil && ok) {
			return true
		}
	}
	return false
}
