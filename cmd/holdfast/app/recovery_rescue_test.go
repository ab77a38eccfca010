// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/rescue"
)

func TestAstartesNamed(t *testing.T) {
	t.Parallel()
	one, two := types.NamespacedName{Namespace: "ns", Name: "one"}, types.NamespacedName{Namespace: "ns", Name: "two"}
	for args, want := range map[string][]types.NamespacedName{
		"astartes.api.astarte-platform.org one":             {one},
		"Astarte one two":                                   {one, two},
		"astartes.v1alpha1.api.astarte-platform.org one":    {one},
		"astarte/one astartes.api.astarte-platform.org/two": {one, two},
		"astarte/one tier/two":                              nil,
		"astarte":                                           nil,
		"astarte /":                                         nil,
		"tier one":                                          nil,
		"astartes.example.com one":                          nil,
	} {
		got, ok := astartesNamed(strings.Fields(args), "ns")
		if diff := cmp.Diff(want, got); diff != "" || ok != (want != nil) {
			t.Errorf("%q: %t, %s", args, ok, diff)
		}
	}
}

// typist is a terminal on which somebody types.
type typist struct{ *strings.Reader }

func (typist) IsTerminal() bool { return true }

func TestTheNameMustBeTyped(t *testing.T) {
	t.Parallel()
	for typed, code := range map[string]int{"one\n": exitDone, "y\n": exitUnconfirmed, "": exitUnconfirmed} {
		c := confirmation{genericiooptions.IOStreams{In: typist{strings.NewReader(typed)}, Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}}, false}
		if got := exitCode(c.typed(t.Context(), "begin", "one", "--yes")); got != code {
			t.Errorf("typed %q: exit code %d, want %d", typed, got, code)
		}
	}
	none := confirmation{genericiooptions.IOStreams{In: strings.NewReader("one\n"), ErrOut: &bytes.Buffer{}}, false}
	if err := none.typed(t.Context(), "begin", "one", "--yes"); exitCode(err) != exitUnconfirmed || !strings.Contains(err.Error(), "there is no terminal to ask on") {
		t.Errorf("without a terminal: %v", err)
	}
	none.yes = true
	if err := none.typed(t.Context(), "begin", "one", "--yes"); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}

func TestWaitingIsNamed(t *testing.T) {
	t.Parallel()
	events := []rescue.Event{
		{Step: "freeze ns/one", Text: "freeze astarte ns/one"},
		{Step: "definition", Text: "the definition to be gone: it is\nTerminating", Waited: 3200 * time.Millisecond},
		{Text: "it is odd", Warning: true},
	}
	var lines, screen bytes.Buffer
	programs, people := newWaiting(&lines, false), newWaiting(&screen, true)
	programs.now = func() time.Time { return time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC) }
	for _, e := range events {
		programs.tell(e)
		people.tell(e)
	}
	people.end()
	want := `{"time":"2026-03-03T12:00:00Z","step":"freeze ns/one","level":"info","message":"freeze astarte ns/one"}
{"time":"2026-03-03T12:00:00Z","step":"definition","level":"info","message":"waiting for the definition to be gone: it is Terminating","waited":"3s"}
{"time":"2026-03-03T12:00:00Z","level":"warning","message":"it is odd"}
`
	if diff := cmp.Diff(want, lines.String()); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"freeze astarte ns/one\n", "waiting 3s for the definition to be gone", "warning: it is odd\n"} {
		if !strings.Contains(screen.String(), text) {
			t.Errorf("the screen shows %q, want %q in it", screen.String(), text)
		}
	}
}
