// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestRestoreOptionsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		options RestoreOptions
		want    string
	}{
		"nothing":       {},
		"all good":      {options: RestoreOptions{Existing: ExistingMerge, ToNamespace: "b", Only: []string{"secrets/one-*"}, Except: []string{"flows.api.astarte-platform.org"}}},
		"existing":      {RestoreOptions{Existing: "keep"}, `"keep" is none of fail, skip, merge and replace`},
		"namespace":     {RestoreOptions{ToNamespace: "My Place"}, `"My Place" is not the name of a namespace`},
		"only":          {RestoreOptions{Only: []string{"/one"}}, `"/one" is not RESOURCE`},
		"except":        {RestoreOptions{Except: []string{"secrets/[a"}}, `"secrets/[a" is not RESOURCE`},
		"too many part": {RestoreOptions{Only: []string{"secrets/a/b"}}, `"secrets/a/b" is not RESOURCE`},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.options.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPatternsSelect(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	flows := schema.GroupResource{Group: "api.astarte-platform.org", Resource: "flows"}
	for name, c := range map[string]struct {
		only, except string
		gr           schema.GroupResource
		object       string
		want         bool
	}{
		"all":                {gr: secrets, object: "a", want: true},
		"resource":           {only: "secrets", gr: secrets, object: "a", want: true},
		"another resource":   {only: "secrets", gr: flows, object: "a"},
		"without its group":  {only: "flows", gr: flows, object: "a", want: true},
		"with its group":     {only: "flows.api.astarte-platform.org", gr: flows, object: "a", want: true},
		"with another group": {only: "flows.example.com", gr: flows, object: "a"},
		"name":               {only: "secrets/a", gr: secrets, object: "a", want: true},
		"another name":       {only: "secrets/a", gr: secrets, object: "ab"},
		"names":              {only: "secrets/a*", gr: secrets, object: "ab", want: true},
		"left out":           {except: "secrets/a", gr: secrets, object: "a"},
		"not left out":       {except: "secrets/a", gr: secrets, object: "b", want: true},
		"both":               {only: "secrets", except: "secrets/a", gr: secrets, object: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			var o RestoreOptions
			if c.only != "" {
				o.Only = []string{c.only}
			}
			if c.except != "" {
				o.Except = []string{c.except}
			}
			if got := o.selects(c.gr, c.object); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
	o := RestoreOptions{Except: []string{"secret"}}
	if err := o.checkAbout([]*Item{{Resource: "secrets", Name: "a"}}); !errors.Is(err, ErrSelectsNothing) {
		t.Errorf("a pattern that is about nothing: %v", err)
	}
}
