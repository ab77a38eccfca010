// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// report is the table that becomes the page.
type report struct{ rows []row }

type row struct {
	what, own, other, ratio, target, verdict string
}

// add compares own with other; a target of 0 is none.
func (r *report) add(what, own, other string, ratio, target float64) {
	line := row{what: what, own: own, other: other, ratio: fmt.Sprintf("%.2f", ratio), target: "-", verdict: "-"}
	if target > 0 {
		line.target, line.verdict = fmt.Sprintf("at most %.4g", target), verdict(ratio <= target)
	}
	r.note(line)
}

// limit compares a time with what it may be; 0 is any.
func (r *report) limit(what, own string, took, most time.Duration) {
	target := ""
	if most > 0 {
		target = "at most " + most.String()
	}
	r.compare(what, own, target, took <= most)
}

// compare notes whether a target is met; an empty one is none.
func (r *report) compare(what, own, target string, met bool) {
	line := row{what: what, own: own, other: "-", ratio: "-", target: "-", verdict: "-"}
	if target != "" {
		line.target, line.verdict = target, verdict(met)
	}
	r.note(line)
}

func (r *report) note(line row) {
	r.rows = append(r.rows, line)
	_, _ = fmt.Fprintf(os.Stderr, "%s: %s, %s, ratio %s, target %s: %s\n", line.what, line.own, line.other, line.ratio, line.target, line.verdict)
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

func (r *report) write(out string, size sizes) error {
	var b bytes.Buffer
	b.WriteString("# Benchmarks\n\nWritten by `make bench`: Holdfast on a real kube-apiserver and etcd, as its chart would run it, against the simplest webhooks\nthat could stand in its place. What is compared takes turns in one run, so that the ratios hold on any machine; the times do not.\nThe purge of interfaces has [a page of its own](benchmarks-purge.md).\n\n")
	fmt.Fprintf(&b, "This run: %d CPUs (%s), load %s when it ended, Go %s, %s. Refusals and plain allows are of %d requests a side or more, allows with more than 500 referrers of 24.\n\n", runtime.NumCPU(), runtime.GOARCH, load(), runtime.Version(), time.Now().UTC().Format(time.DateOnly), size.requests)
	b.WriteString("| measure | Holdfast | compared with | ratio | target | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, l := range r.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", l.what, l.own, l.other, l.ratio, l.target, l.verdict)
	}
	b.WriteString(notes)
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o600)
}

// load is the machine's, over the last minutes; other work on it disturbs.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := bytes.Fields(text)
	return string(bytes.Join(fields[:min(3, len(fields))], []byte(", ")))
}

const notes = `
How it is measured:

- Every delete goes through the whole API server. The rivals are made with the same library, run in a process of their own with
  Holdfast's own ServiceAccount (an administrator's requests would be spared the API server's queues and role checks), and have as
  many match conditions as Holdfast's entry. Objects have 2.5 KB. "One plain Secret write" stores the object as it came: not
  compressed, named after the request, so that a repeated delete would be stored again.
- "Inside Holdfast" is the mean of the metric holdfast_admission_seconds, which begins when the review is decoded.
- How long a tier is missing is the time between the events of a watch. The manual's commands are get, sed, patch and create with kubectl,
  in one script without a pause.
- Allowing costs exactly one write more than refusing. The API server evaluates two entries for each delete of a guarded object, of
  which only one asks, and one of the rivals'; what that costs is the difference to the rival that is registered by two. It also gets
  longer answers: the text again as warnings, and audit annotations. Holdfast decodes the object,
  which a blind webhook does not, and computes its identity. At one at a time there is nothing to hide that behind, so the tightest
  targets, 1.1 for refusals and 1.05 for the plain write, are out of reach as long as a tenth of a delete is less than that work.
- The no-op webhook writes nothing at all. What an allow takes beyond it is mostly the write, as the plain write's time shows: where
  that alone is above 1.6 times the no-op, nothing that saves before it allows can be below.
- Beside more than 500 referrers an allow waits for a bookmark of the API server, which comes 1 to 2 s after it was asked for,
  by a clock of its own: what begins right after a tick of it takes 2 s and what it takes besides.
- "Each by itself" are deletes with a pause of 120 ms before each. "One right after the other" they wait for the API server: it answers
  a consistent list from its watch cache as soon as that has caught up with etcd, and when something else was written last, it asks
  etcd for that at most every 100 ms, for each kind apart. Since Kubernetes 1.34 no read of a whole kind goes past that cache, so this
  is what a proof costs; all deletes that are under way at the time share it, which is why 32 at once do not take longer than one.
- Continuous backup is measured in a control plane of its own, with the stand-in of the suites as Astarte's operator; the calls are
  those of the API server's audit log. What is stored is a Secret as etcd holds it: the record is in it twice, 2 KB in all, which
  is more than a small object itself; the payload is compressed. An unchanged object costs nothing in the next set.
- "The decision alone" and the heap are measured without an API server, by the Go benchmarks of test/bench.
- A load above the number of CPUs means that other work disturbed the run: times and the tight ratios are worse then.
`
