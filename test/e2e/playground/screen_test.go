// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":                        {"", []string{""}},
		"a line that fits":               {"one two 10", []string{"one two 10"}},
		"a line that is one too long":    {"one two 3456", []string{"one two", "3456"}},
		"several breaks":                 {"aaaa bbbb cccc dddd eeee", []string{"aaaa bbbb", "cccc dddd", "eeee"}},
		"a word longer than a line":      {"aaaabbbbccccdddd ee", []string{"aaaabbbbccccdddd", "ee"}},
		"a table, whose rows stay whole": {"NAME     AGE     OWNER", []string{"NAME     AGE     OWNER"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, broken(c.text, 10)); diff != "" {
				t.Errorf("broken(%q, 10) (-want +got):\n%s", c.text, diff)
			}
		})
	}
}

func TestRepeatedWarningsArePrintedOnce(t *testing.T) {
	t.Parallel()
	text := "I11 a.go:1] \"Warning: no\"\nI12 a.go:1] \"Warning: no\"\nsame\nsame\nI13 a.go:1] \"Warning: other\"\n"
	want := []string{"I11 a.go:1] \"Warning: no\" (2 times)", "same", "same", "I13 a.go:1] \"Warning: other\""}
	if diff := cmp.Diff(want, once(text)); diff != "" {
		t.Errorf("once (-want +got):\n%s", diff)
	}
}
