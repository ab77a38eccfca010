// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// copies are those that a store holds.
type copies struct {
	last []Copy
	more bool
	err  error
}

func (c copies) Last(context.Context, *unstructured.Unstructured) (Copy, bool, error) {
	if c.err != nil || len(c.last) == 0 {
		return Copy{}, false, c.err
	}
	return c.last[0], true, nil
}

func (c copies) AllLast(context.Context, int) ([]Copy, bool, error) { return c.last, c.more, c.err }

func TestOwn(t *testing.T) {
	t.Parallel()
	lost := []Copy{{ID: "aaaaaaaaaaaaaaaa", Of: Target{Kind: "Plan", Namespace: "shop", Name: "gold"}}}
	namespaces := profile.NamespaceResource()
	for name, tc := range map[string]struct {
		resource  schema.GroupResource
		namespace string
		object    string
		copies    copies
		want      string // of the refusal
		wantErr   string
	}{
		"a last copy": {resource: SecretResource(), namespace: "holdfast-system", object: "holdfast-snapshot-aaaaaaaaaaaaaaaa", copies: copies{last: lost}, want: "secret holdfast-system/holdfast-snapshot-aaaaaaaaaaaaaaaa holds the latest copy of plan shop/gold, which is gone and could not be brought back without it. It was not deleted. " +
			"First bring that back with: holdfast recovery restore aaaaaaaaaaaaaaaa; or, if it may be lost: holdfast approve secrets holdfast-snapshot-aaaaaaaaaaaaaaaa -n holdfast-system --reason TEXT"},
		"a last set": {resource: SecretResource(), namespace: "holdfast-system", object: "holdfast-set-bbbbbbbbbbbbbbbb", copies: copies{last: []Copy{{ID: lost[0].ID, Of: lost[0].Of, Set: true}}}, want: "secret holdfast-system/holdfast-set-bbbbbbbbbbbbbbbb holds the latest set of plan shop/gold, which is gone: without it nobody knows what belongs to that. It was not deleted. " +
			"First bring that back with: holdfast recovery restore aaaaaaaaaaaaaaaa; or, if it may be lost: holdfast approve secrets holdfast-set-bbbbbbbbbbbbbbbb -n holdfast-system --reason TEXT"},
		"no last copy":               {resource: SecretResource(), namespace: "holdfast-system", object: "x"},
		"a Secret elsewhere":         {resource: SecretResource(), namespace: "shop", object: "x", copies: copies{err: errors.New("must not be asked")}},
		"another kind in there":      {resource: schema.GroupResource{Resource: "configmaps"}, namespace: "holdfast-system", object: "x", copies: copies{err: errors.New("must not be asked")}},
		"nobody knows":               {resource: SecretResource(), namespace: "holdfast-system", object: "x", copies: copies{err: errors.New("boom")}, wantErr: "boom"},
		"the namespace holds one":    {resource: namespaces, object: "holdfast-system", copies: copies{last: lost}, want: "could not be brought back without it: plan shop/gold. It was not deleted"},
		"the namespace holds more":   {resource: namespaces, object: "holdfast-system", copies: copies{last: lost, more: true}, want: "plan shop/gold and more. It was not deleted, and nothing in it was touched. First bring them back; list all with: holdfast recovery list; or, if they may be lost: holdfast approve namespaces holdfast-system --reason TEXT"},
		"the namespace holds none":   {resource: namespaces, object: "holdfast-system"},
		"the namespace is not known": {resource: namespaces, object: "holdfast-system", copies: copies{err: errors.New("boom")}, wantErr: "boom"},
		"another namespace":          {resource: namespaces, object: "shop", copies: copies{err: errors.New("must not be asked")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := &unstructured.Unstructured{Object: map[string]any{"kind": "Secret"}}
			if tc.resource == namespaces {
				old.SetKind("Namespace")
			}
			old.SetName(tc.object)
			old.SetNamespace(tc.namespace)
			rule := Own{Copies: tc.copies, Namespace: "holdfast-system"}
			v, err := rule.Check(t.Context(), Request{Guarded: &profile.Guarded{Resource: tc.resource}, Old: old})
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if v.Denied != (tc.want != "") || !strings.Contains(v.Message, tc.want) {
				t.Errorf("verdict %+v, want %q", v, tc.want)
			}
			if v.Denied {
				if diff := cmp.Diff([]Cause{{Object: "plan shop/gold"}}, v.Causes); diff != "" || v.Rule != "own" {
					t.Errorf("rule %q, causes (-want +got):\n%s", v.Rule, diff)
				}
			}
		})
	}
}
