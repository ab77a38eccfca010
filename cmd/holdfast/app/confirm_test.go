// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// terminal is input that a person types.
type terminal struct{ io.Reader }

func (terminal) IsTerminal() bool { return true }

// broken cannot be read.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("boom") }

func TestConfirmation(t *testing.T) {
	t.Parallel()
	const refused = "nothing was changed: the answer was not yes"
	cases := map[string]struct {
		in     io.Reader
		yes    bool
		want   string
		code   int
		silent bool
	}{
		"y":                   {in: terminal{strings.NewReader("y\n")}},
		"yes, in capitals":    {in: terminal{strings.NewReader(" YES \n")}},
		"y without newline":   {in: terminal{strings.NewReader("y")}},
		"n":                   {in: terminal{strings.NewReader("n\n")}, want: refused, code: 4},
		"nothing":             {in: terminal{strings.NewReader("\n")}, want: refused, code: 4},
		"end of input":        {in: terminal{strings.NewReader("")}, want: refused, code: 4},
		"something else":      {in: terminal{strings.NewReader("yess\n")}, want: refused, code: 4},
		"only the first":      {in: terminal{strings.NewReader("n\ny\n")}, want: refused, code: 4},
		"no terminal":         {in: strings.NewReader("y\n"), want: "nothing was changed: there is no terminal to ask on; add --yes to do it", code: 4, silent: true},
		"--yes":               {in: strings.NewReader(""), yes: true, silent: true},
		"--yes on a terminal": {in: terminal{strings.NewReader("n\n")}, yes: true, silent: true},
		"unreadable":          {in: terminal{broken{}}, want: "read the answer: boom", code: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			c := confirmation{genericiooptions.IOStreams{In: tc.in, Out: &out, ErrOut: &errOut}, tc.yes}
			err := c.ask(t.Context(), "Sure?")
			if got := exitCode(err); got != tc.code {
				t.Errorf("exit code %d, want %d", got, tc.code)
			}
			if (err == nil) != (tc.want == "") || (err != nil && err.Error() != tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if got, want := errOut.String(), map[bool]string{false: "Sure? [y/N] ", true: ""}[tc.silent]; got != want {
				t.Errorf("asked %q, want %q", got, want)
			}
			if out.Len() > 0 {
				t.Errorf("the question went to the output: %q", out.String())
			}
		})
	}
}

// silence is a person who does not answer until the test ends.
type silence struct{ until <-chan struct{} }

func (silence) IsTerminal() bool { return true }

func (s silence) Read([]byte) (int, error) {
	<-s.until
	return 0, io.EOF
}

func TestInterruptedQuestion(t *testing.T) {
	t.Parallel()
	for name, question := range map[string]func(context.Context, confirmation) error{
		"yes or no": func(ctx context.Context, c confirmation) error { return c.ask(ctx, "Sure?") },
		"a name":    func(ctx context.Context, c confirmation) error { return c.typed(ctx, "begin", "one", "--yes") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			c := confirmation{streams: genericiooptions.IOStreams{In: silence{t.Context().Done()}, ErrOut: io.Discard}}
			err := question(ctx, c)
			if exitCode(err) != exitUnconfirmed || err.Error() != "nothing was changed: interrupted before an answer" {
				t.Errorf("%v, code %d", err, exitCode(err))
			}
		})
	}
}
