// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 123456789, time.UTC) }

// writeJournal makes a journal of a header and a few records, and closes it.
func writeJournal(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "01J")
	j, records, err := OpenJournal(dir, noon)
	if err != nil || len(records) != 0 {
		t.Fatal(records, err)
	}
	for _, r := range []struct {
		kind string
		data any
	}{
		{recordHeader, Header{Format: journalFormat, ID: "01J", Digest: "d", Target: Target{Name: "com.test.Sensors", Major: 1}}},
		{recordDetach, stampRecord{42}},
		{recordDetached, empty{}},
		{recordCut, cutRecord{1, 43}},
		{recordSwept, sweptRecord{Sweep: 1, Found: 7, Counts: Counts{Datastreams: 5, Properties: 2}}},
	} {
		if _, err := j.Append(r.kind, r.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestJournalReplays(t *testing.T) {
	t.Parallel()
	records, _, err := ReadJournal(writeJournal(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := replay(records)
	if err != nil {
		t.Fatal(err)
	}
	if s.header.Target.Name != "com.test.Sensors" || s.detach != 42 || !s.detached || s.cuts[1] != 43 || s.lastCut() != 43 || s.closed {
		t.Errorf("state = %+v", s)
	}
	if diff := cmp.Diff(Counts{Datastreams: 5, Properties: 2}, s.deleted()); diff != "" {
		t.Error(diff)
	}
}

func TestJournalDamage(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		damage  func(string) string
		want    int
		wantErr bool
	}{
		"a torn last line":        {func(s string) string { return s[:len(s)-20] }, 4, false},
		"half a line more":        {func(s string) string { return s + `{"seq":5,"ti` }, 5, false},
		"a last line with a flip": {func(s string) string { return strings.Replace(s, `"found":7`, `"found":8`, 1) }, 4, false},
		"a flip in the middle":    {func(s string) string { return strings.Replace(s, `"Timestamp":42`, `"Timestamp":41`, 1) }, 0, true},
		"a line that is gone": {func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			return lines[0] + strings.Join(lines[2:], "")
		}, 0, true},
		"empty": {func(string) string { return "" }, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := writeJournal(t)
			path := filepath.Join(dir, journalName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tc.damage(string(data))), 0o600); err != nil {
				t.Fatal(err)
			}
			j, records, err := OpenJournal(dir, noon)
			if (err != nil) != tc.wantErr || len(records) != tc.want {
				t.Fatalf("%d records, err %v; want %d, error %v", len(records), err, tc.want, tc.wantErr)
			}
			if err != nil {
				return
			}
			// What is written next must be readable behind what was torn.
			if _, err := j.Append(recordGroups, empty{}); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if again, _, err := ReadJournal(dir); err != nil || len(again) != tc.want+1 {
				t.Errorf("after one more record there are %d, err %v", len(again), err)
			}
		})
	}
}

func TestJournalIsLocked(t *testing.T) {
	t.Parallel()
	dir := writeJournal(t)
	j, _, err := OpenJournal(dir, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenJournal(dir, noon); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process") {
		t.Errorf("err = %v, want who holds the lock", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, _, err = OpenJournal(dir, noon)
	if err != nil {
		t.Fatalf("after it was closed: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	header := Record{Type: recordHeader, Data: []byte(`{"format":1}`)}
	cases := map[string][]Record{
		"no header":          {{Type: recordDetached, Data: []byte(`{}`)}},
		"a newer format":     {{Type: recordHeader, Data: []byte(`{"format":2}`)}},
		"a type of a newer":  {header, {Type: "teleport", Data: []byte(`{}`)}},
		"data that is wrong": {header, {Type: recordCut, Data: []byte(`[]`)}},
	}
	for name, records := range cases {
		if _, err := replay(records); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestVerificationThatFindsSomethingReopensSweeps(t *testing.T) {
	t.Parallel()
	records := []Record{
		{Type: recordHeader, Data: []byte(`{"format":1}`)},
		{Type: recordSwept, Data: []byte(`{"sweep":1,"found":3}`)},
		{Type: recordSwept, Data: []byte(`{"sweep":2,"found":0}`)},
	}
	next := func() int {
		s, err := replay(records)
		if err != nil {
			t.Fatal(err)
		}
		return (&run{state: s}).nextSweep()
	}
	if got := next(); got != 0 {
		t.Errorf("after a sweep that found nothing the next is %d, want none", got)
	}
	records = append(records, Record{Type: recordVerify, Data: []byte(`{"clean":false,"found":1}`)})
	if got := next(); got != 3 {
		t.Errorf("after a verification that found something the next sweep is %d, want 3", got)
	}
	records = append(records, Record{Type: recordSwept, Data: []byte(`{"sweep":3,"found":0}`)})
	if got := next(); got != 0 {
		t.Errorf("after a third sweep that found nothing the next is %d, want none", got)
	}
}

func TestRangeMap(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ranges.bin")
	m, err := openRangeMap(path, 100, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 7, 8, 99, 7} {
		if err := m.Set(i, rangeCounts{Found: 2, Datastreams: 3, Rows: 1}); err != nil {
			t.Fatal(err)
		}
	}
	m.Add(rangeCounts{Future: 1, Properties: 4})
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	again, err := openRangeMap(path, 100, noon)
	if err != nil {
		t.Fatal(err)
	}
	done, total, counts := again.Progress()
	want := rangeCounts{Found: 10, Future: 1, Datastreams: 15, Properties: 4, Rows: 5}
	if done != 4 || total != 100 || counts != want || !again.Has(99) || again.Has(98) {
		t.Errorf("%d of %d, %+v", done, total, counts)
	}
	if _, err := openRangeMap(path, 101, noon); err == nil {
		t.Error("a map of another number of ranges passed")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[rangeMapHeader] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRangeMap(path, 100, noon); err == nil {
		t.Error("a damaged map passed")
	}
}
