// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is an event with output.
func said(test, text string) event {
	return event{Action: "output", Package: "p", Test: test, Output: text}
}

func TestReport(t *testing.T) {
	t.Parallel()
	pass, fail, skip := event{Action: "pass", Package: "p", Elapsed: 1.5}, event{Action: "fail", Package: "p", Elapsed: 1.5}, event{Action: "skip", Package: "p", Elapsed: 1.5}
	of := func(e event, test string) event {
		e.Test = test
		return e
	}
	for name, c := range map[string]struct {
		events []event
		want   string
		ok     bool
	}{
		"everything passes, and a test with subtests counts by them": {
			events: []event{of(pass, "TestA"), of(pass, "TestB/one"), of(pass, "TestB/two"), of(pass, "TestB"), pass},
			want:   "ok       3 passed     1.5 s  p\n\n3 passed, 0 failed\n",
			ok:     true,
		},
		"what fails is shown, and only that": {
			events: []event{said("TestA", "fine\n"), of(pass, "TestA"), said("TestB/one", "\x1b[31mwrong\x1b[0m\n"), of(fail, "TestB/one"), said("TestB", "below\n"), of(fail, "TestB"), fail},
			want:   "wrong\nFAIL     1 passed, 1 failed     1.5 s  p\n\nFAILED  p TestB/one\n\n1 passed, 1 failed\n",
		},
		"a parent that fails by itself": {
			events: []event{of(pass, "TestB/one"), of(fail, "TestB"), fail},
			want:   "FAIL     1 passed, 1 failed     1.5 s  p\n\nFAILED  p TestB\n\n1 passed, 1 failed\n",
		},
		"a skipped test is a failure": {
			events: []event{of(pass, "TestA"), said("TestB", "no server\n"), of(skip, "TestB"), pass},
			want:   "no server\nFAIL     1 passed, 1 skipped     1.5 s  p\n\nSKIPPED p TestB (1)\n\n1 passed, 0 failed, 1 skipped; a test that is skipped has not passed\n",
		},
		"specs count as tests": {
			events: []event{said("TestSuite", "\x1b[1mSUCCESS!\x1b[0m -- \x1b[38;5;10m\x1b[1m67 Passed\x1b[0m | \x1b[38;5;9m\x1b[1m0 Failed\x1b[0m | \x1b[1m0 Pending\x1b[0m | \x1b[1m0 Skipped\x1b[0m\n"), of(pass, "TestSuite"), pass},
			want:   "ok      67 passed     1.5 s  p\n\n67 passed, 0 failed\n",
			ok:     true,
		},
		"a pending spec is a failure": {
			events: []event{said("TestSuite", "SUCCESS! -- 66 Passed | 0 Failed | 1 Pending | 2 Skipped\n"), of(pass, "TestSuite"), pass},
			want:   "SUCCESS! -- 66 Passed | 0 Failed | 1 Pending | 2 Skipped\nFAIL    66 passed, 3 skipped     1.5 s  p\n\nSKIPPED p TestSuite (3)\n\n66 passed, 0 failed, 3 skipped; a test that is skipped has not passed\n",
		},
		"a suite that fails before its specs": {
			events: []event{said("TestSuite", "FAIL! -- 0 Passed | 0 Failed | 0 Pending | 0 Skipped\n"), of(fail, "TestSuite"), fail},
			want:   "FAIL! -- 0 Passed | 0 Failed | 0 Pending | 0 Skipped\nFAIL     0 passed, 1 failed     1.5 s  p\n\nFAILED  p TestSuite\n\n0 passed, 1 failed\n",
		},
		"a test that is cut off": {
			events: []event{{Action: "run", Package: "p", Test: "TestA"}, said("TestA", "panic: out of time\n"), fail},
			want:   "panic: out of time\nFAIL     0 passed, 1 failed     1.5 s  p\n\nFAILED  p TestA\n\n0 passed, 1 failed\n",
		},
		"a package that does not build": {
			events: []event{
				{Action: "build-output", ImportPath: "p [p.test]", Output: "p.go:1: undefined: x\n"},
				{Action: "build-fail", ImportPath: "p [p.test]"},
				{Action: "output", Package: "p", Output: "FAIL\tp [build failed]\n"},
				{Action: "fail", Package: "p", Elapsed: 1.5, FailedBuild: "p [p.test]"},
			},
			want: "p.go:1: undefined: x\nFAIL\tp [build failed]\nFAIL     0 passed, 1 failed     1.5 s  p\n\nFAILED  p\n\n0 passed, 1 failed\n",
		},
		"a package that ends itself": {
			events: []event{of(pass, "TestA"), {Action: "output", Package: "p", Output: "exit status 3\n"}, fail},
			want:   "exit status 3\nFAIL     1 passed, 1 failed     1.5 s  p\n\nFAILED  p\n\n1 passed, 1 failed\n",
		},
		"a package without tests is no skipped test, but nothing is no success": {
			events: []event{{Action: "output", Package: "p", Output: "?   p [no test files]\n"}, skip},
			want:   "\nno test was run\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var in, out strings.Builder
			for _, e := range c.events {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				in.Write(append(line, '\n'))
			}
			r := newReport(&out, false)
			if err := r.read(strings.NewReader(in.String())); err != nil {
				t.Fatal(err)
			}
			if ok := r.finish(); ok != c.ok {
				t.Errorf("ok is %v, want %v", ok, c.ok)
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := newReport(&out, false)
	if err := r.read(strings.NewReader("go: no such package\n")); err != nil {
		t.Fatal(err)
	}
	if r.finish() {
		t.Error("ok without a test")
	}
	if diff := cmp.Diff("go: no such package\n\nno test was run\n", out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
