// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// someResources is how many resources a message names at most.
const someResources = 5

// savedResources are the resources that word names among those of which there
// are snapshots: these outlive the definition of their objects. A short name is
// known only where that definition is saved too.
func savedResources(ctx context.Context, store *snapshot.Store, word string) (called, all []schema.GroupResource, err error) {
	records, err := store.List(ctx, snapshot.Filter{})
	if err != nil {
		return nil, nil, err
	}
	found := map[schema.GroupResource]bool{}
	for i := range records {
		if r := &records[i]; r.Resource != "" {
			gr := r.GroupResource()
			found[gr] = found[gr] || means(word, gr.Group, gr.Resource, r.Kind)
		}
	}
	for gr, yes := range found {
		all = append(all, gr)
		if yes {
			called = append(called, gr)
		}
	}
	if len(called) == 0 {
		if called, err = shortlyNamed(ctx, store, records, word); err != nil {
			return nil, nil, err
		}
	}
	for _, list := range [][]schema.GroupResource{called, all} {
		slices.SortFunc(list, func(a, b schema.GroupResource) int { return cmp.Compare(a.String(), b.String()) })
	}
	return called, all, nil
}

// shortlyNamed are the resources whose latest saved definition lists word among its names.
func shortlyNamed(ctx context.Context, store *snapshot.Store, records []snapshot.Record, word string) ([]schema.GroupResource, error) {
	var called []schema.GroupResource
	seen := map[string]bool{}
	for i := range records { // newest first
		r := &records[i]
		if r.GroupResource() != profile.CRDResource() || r.Problem != "" || seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		snap, err := store.Get(ctx, r.ID)
		if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrNotFound) {
			continue // 'recovery list' tells of it
		}
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(snap.Object.Object, crd) != nil {
			continue
		}
		names := crd.Spec.Names
		if means(word, crd.Spec.Group, append([]string{names.Singular, names.Kind, names.Plural}, names.ShortNames...)...) {
			called = append(called, schema.GroupResource{Group: crd.Spec.Group, Resource: names.Plural})
		}
	}
	return called, nil
}

// means says that word is one of names, alone or with the group or the beginning
// of it, or with version and group, as kubectl reads it.
func means(word, group string, names ...string) bool {
	name, rest, _ := strings.Cut(strings.ToLower(word), ".")
	if !slices.ContainsFunc(names, func(n string) bool { return strings.ToLower(n) == name }) {
		return false
	}
	_, afterVersion, _ := strings.Cut(rest, ".")
	return strings.HasPrefix(group, rest) || (afterVersion != "" && afterVersion == group)
}

// unknownResource is the error for a word that names nothing, neither in the
// cluster, as resolveErr says, nor among what is saved.
func unknownResource(saved []schema.GroupResource, resolveErr error) error {
	if len(saved) == 0 {
		return resolveErr
	}
	var names []string
	for _, gr := range saved[:min(len(saved), someResources)] {
		names = append(names, gr.String())
	}
	more := ""
	if n := len(saved) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return usagef("%w; nor is anything saved under that name (short names are known only of saved definitions): there are snapshots of %s%s", resolveErr, strings.Join(names, ", "), more)
}

// unserved says more of a resource that the cluster does not have, if objects
// of it are saved.
func (c *cluster) unserved(ctx context.Context, word string, resolveErr error) error {
	store, err := c.snapshots()
	if err != nil {
		return resolveErr
	}
	called, _, err := savedResources(ctx, store, word)
	if err != nil || len(called) == 0 {
		return resolveErr // who may not read snapshots still learns what is wrong
	}
	return usagef("the cluster does not serve %s any more: its CustomResourceDefinition is gone, and its objects with it; 'holdfast recovery list %s' shows what is saved of them, and 'holdfast recovery restore' brings it back", called[0], called[0])
}
