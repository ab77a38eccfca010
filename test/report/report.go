// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// event is a line of 'go test -json'; see 'go doc test2json'.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build
	Test        string // empty for the package itself
	Output      string
	Elapsed     float64
	FailedBuild string
}

// counts are of tests and specs.
type counts struct{ passed, failed, skipped int }

func (c *counts) add(other counts) {
	c.passed += other.passed
	c.failed += other.failed
	c.skipped += other.skipped
}

// test is a test function or a subtest.
type test struct {
	output strings.Builder
	result string
	// specs are those of the Ginkgo suites that it ran.
	specs counts
	suite bool
}

// pkg is a package under test.
type pkg struct {
	tests  map[string]*test
	order  []string
	output strings.Builder
}

// report is the state of the reading.
type report struct {
	out      io.Writer
	colour   bool
	packages map[string]*pkg
	builds   map[string]string
	total    counts
	bad      []string // what failed or was skipped
}

func newReport(out io.Writer, colour bool) *report {
	return &report{out: out, colour: colour, packages: map[string]*pkg{}, builds: map[string]string{}}
}

// read takes in all events.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				// 'go test' itself speaks when it cannot even begin.
				r.printf("%s", line)
			} else {
				r.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (r *report) printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !r.colour {
		text = escapes.ReplaceAllString(text, "")
	}
	_, _ = io.WriteString(r.out, text) // who reads it is gone; the exit code still tells
}

func (r *report) take(e event) {
	if e.ImportPath != "" {
		r.builds[e.ImportPath] += e.Output
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		r.packages[e.Package] = p
	}
	if e.Test == "" {
		r.takePackage(p, e)
		return
	}
	t := p.tests[e.Test]
	if t == nil {
		t = &test{}
		p.tests[e.Test] = t
		p.order = append(p.order, e.Test)
	}
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
		if specs, ok := ginkgo(e.Output); ok {
			t.suite = true
			t.specs.add(specs)
		}
	case "pass", "fail", "skip":
		t.result = e.Action
	}
}

func (r *report) takePackage(p *pkg, e event) {
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		r.end(p, e)
	}
}

// summary is Ginkgo's last word on a suite.
var summary = regexp.MustCompile(`(\d+) Passed.* \| .*?(\d+) Failed.* \| .*?(\d+) Pending.* \| .*?(\d+) Skipped`)

// ginkgo reads the counts from a line of output, with or without colours.
func ginkgo(line string) (counts, bool) {
	m := summary.FindStringSubmatch(escapes.ReplaceAllString(line, ""))
	if m == nil {
		return counts{}, false
	}
	n := make([]int, 4)
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // they are digits
	}
	return counts{passed: n[0], failed: n[1], skipped: n[2] + n[3]}, true
}

// escapes colour a terminal.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// end counts and prints a package.
func (r *report) end(p *pkg, e event) {
	c := r.count(p, e)
	if e.Action == "fail" && c.failed == 0 {
		// A build, a panic outside of tests, a time-out.
		c.failed++
		r.bad = append(r.bad, "FAILED  "+e.Package)
		r.printf("%s%s", r.builds[e.FailedBuild], p.output.String())
	}
	r.total.add(c)
	if c == (counts{}) {
		return // nothing to test
	}
	state := "ok"
	if c.failed+c.skipped > 0 {
		state = "FAIL"
	}
	line := fmt.Sprintf("%-4s  %4d passed", state, c.passed)
	if c.failed > 0 {
		line += fmt.Sprintf(", %d failed", c.failed)
	}
	if c.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", c.skipped)
	}
	r.printf("%s  %6.1f s  %s\n", line, e.Elapsed, e.Package)
}

// count adds up the tests of a package, and prints those that failed. A test
// with subtests counts by them.
func (r *report) count(p *pkg, e event) counts {
	var c counts
	parents := map[string]bool{}
	failedBelow := map[string]bool{}
	for _, name := range p.order {
		for i, letter := range name {
			if letter != '/' {
				continue
			}
			parents[name[:i]] = true
			if p.tests[name].result == "fail" {
				failedBelow[name[:i]] = true
			}
		}
	}
	for _, name := range p.order {
		t := p.tests[name]
		own := counts{}
		switch {
		case t.suite:
			own = t.specs
			if t.result != "pass" && own.failed == 0 {
				own.failed++ // around the specs
			}
		case t.result == "skip":
			own.skipped++
		case t.result == "pass":
			if !parents[name] {
				own.passed++
			}
		case !failedBelow[name]: // failed, or cut off by the end of the process
			own.failed++
		}
		c.add(own)
		if own.failed > 0 {
			r.bad = append(r.bad, "FAILED  "+e.Package+" "+name)
			r.printf("%s", t.output.String())
		} else if own.skipped > 0 {
			r.bad = append(r.bad, fmt.Sprintf("SKIPPED %s %s (%d)", e.Package, name, own.skipped))
			r.printf("%s", t.output.String())
		}
	}
	return c
}

// finish prints the total and tells whether all is well.
func (r *report) finish() bool {
	if len(r.bad) > 0 {
		r.printf("\n")
	}
	for _, b := range r.bad {
		r.printf("%s\n", b)
	}
	ok := r.total.failed == 0 && r.total.skipped == 0
	switch {
	case r.total == (counts{}):
		r.printf("\nno test was run\n")
		ok = false
	case r.total.skipped > 0:
		r.printf("\n%d passed, %d failed, %d skipped; a test that is skipped has not passed\n", r.total.passed, r.total.failed, r.total.skipped)
	default:
		r.printf("\n%d passed, %d failed\n", r.total.passed, r.total.failed)
	}
	return ok
}
