// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name + ".golden"
	if *updateGolden {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); 'go test ./cmd/holdfast/app -update' writes it anew:\n%s", file, diff)
	}
}

// streams are in-memory streams without a terminal.
func streams() (genericiooptions.IOStreams, *bytes.Buffer, *bytes.Buffer) {
	var out, errOut bytes.Buffer
	return genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}, &out, &errOut
}

func someRecords() []listed {
	now := time.Now()
	saved := now.Add(-3 * time.Hour)
	fixed := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	return []listed{
		{snapshot.Record{
			ID: "aaaaaaaaaaaaaaaa", Resource: "servicetiers.cp.nuodb.com", Namespace: "nuodb-cp-system", Name: "n0.small",
			UID: "uid-1", SavedAt: saved, Operation: "delete", User: "alice", Profile: "nuodb", Size: 1611, State: "restored",
			LastAttempt: &snapshot.Attempt{Operation: "undo", User: "bob", At: now.Add(-2 * time.Minute)},
			Journal:     &snapshot.Journal{Operation: "undo", Phase: snapshot.PhaseDone, At: fixed},
		}, present},
		{snapshot.Record{
			ID: "bbbbbbbbbbbbbbbb", Resource: "clusterroles.rbac.authorization.k8s.io", Name: "system:reader",
			UID: "uid-2", SavedAt: saved, Operation: "change", Size: 300, State: "deleted", Bypass: true,
			Journal: &snapshot.Journal{Operation: "restore", Phase: snapshot.PhaseStarted, At: fixed},
		}, gone},
		{snapshot.Record{ID: "cccccccccccccccc", Problem: `format "2" is unknown to this version of holdfast, which knows "1"; use a newer holdfast`}, unknown},
	}
}

func TestListOutput(t *testing.T) {
	t.Parallel()
	for _, format := range []string{outputTable, outputWide} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s, out, errOut := streams()
			o := &recoveryListOptions{streams: s, output: &outputFlag{format: format}}
			if err := o.print(someRecords(), "in namespace holdfast-system"); err != nil {
				t.Fatal(err)
			}
			golden(t, "recovery-list-"+format, out.String())
			if errOut.Len() > 0 {
				t.Errorf("errors: %s", errOut)
			}
		})
	}
}

func TestEmptyList(t *testing.T) {
	t.Parallel()
	s, out, errOut := streams()
	o := &recoveryListOptions{streams: s, output: &outputFlag{format: outputTable}}
	if err := o.print(nil, "in namespace holdfast-system"); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 || errOut.String() != "No snapshots found in namespace holdfast-system.\n" {
		t.Errorf("output %q, errors %q", out, errOut)
	}
	o.output.format = outputJSON
	if err := o.print([]listed{}, "in namespace holdfast-system"); err != nil {
		t.Fatal(err)
	}
	if out.String() != "{\n  \"items\": []\n}\n" {
		t.Errorf("JSON of nothing: %q", out)
	}
}

func somePlan() *recovery.Plan {
	return &recovery.Plan{Operation: "undo", Items: []*recovery.Item{
		{
			Resource: "helmfeatures.cp.nuodb.com", Namespace: "ns", Name: "f", Action: recovery.ActionFinish, Snapshot: "aaaaaaaaaaaaaaaa",
			Steps: []string{"compare it with what was saved"},
		},
		{
			Resource: "servicetiers.cp.nuodb.com", Namespace: "ns", Name: "t", Action: recovery.ActionUndo,
			Steps: []string{"save it as it is now", "create it again at once"}, Warnings: []string{"its generation starts at 1 again (it was 5)"},
		},
		{Resource: "servicetiers.cp.nuodb.com", Namespace: "ns", Name: "u", Action: recovery.ActionSkip, Reason: "it is not Terminating"},
		{Resource: "clusterthings.example", Name: "c", Action: recovery.ActionRefuse, Reason: "no finalizer holds it"},
	}}
}

func TestPlanOutput(t *testing.T) {
	t.Parallel()
	for _, format := range []string{outputTable, outputJSON, outputYAML, outputName} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s, out, _ := streams()
			o := &recoveryRun{streams: s, output: &outputFlag{format: format}}
			if err := o.printPlan(s.Out, somePlan()); err != nil {
				t.Fatal(err)
			}
			golden(t, "recovery-plan-"+format, out.String())
		})
	}
}

func someOutcomes() []*recovery.Outcome {
	return []*recovery.Outcome{
		{Resource: "servicetiers.cp.nuodb.com", Namespace: "ns", Name: "t", Snapshot: "aaaaaaaaaaaaaaaa", Result: recovery.ResultDone, Missing: 2345678, Warnings: []string{"the API server added .spec.x"}},
		{Resource: "servicetiers.cp.nuodb.com", Namespace: "ns", Name: "u", Result: recovery.ResultSkipped, Reason: "it is not Terminating"},
		{Resource: "clusterthings.example", Name: "c", Result: recovery.ResultFailed, Reason: "boom"},
	}
}

func TestOutcomeOutput(t *testing.T) {
	t.Parallel()
	for _, format := range []string{outputTable, outputName} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s, out, errOut := streams()
			o := &recoveryRun{streams: s, output: &outputFlag{format: format}}
			for _, outcome := range someOutcomes() {
				o.printOutcome(outcome)
			}
			golden(t, "recovery-outcome-"+format, out.String())
			if got := errOut.String(); got != "warning: servicetiers.cp.nuodb.com ns/t: the API server added .spec.x\n" {
				t.Errorf("errors: %q", got)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	done, skipped, failed := someOutcomes()[0], someOutcomes()[1], someOutcomes()[2]
	cases := map[string]struct {
		outcomes []*recovery.Outcome
		code     int
		want     string
	}{
		"all done":              {[]*recovery.Outcome{done, skipped}, 0, ""},
		"nothing to do":         {[]*recovery.Outcome{skipped}, 0, ""},
		"one of two":            {[]*recovery.Outcome{failed, done}, 3, "1 of 2 objects not brought back; the first: clusterthings.example c: boom"},
		"none":                  {[]*recovery.Outcome{failed}, 1, "clusterthings.example c: boom"},
		"one failed, one as is": {[]*recovery.Outcome{skipped, failed}, 1, "clusterthings.example c: boom"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := judge(tc.outcomes)
			if exitCode(err) != tc.code || (err != nil && err.Error() != tc.want) {
				t.Errorf("exit code %d, error %v; want %d, %q", exitCode(err), err, tc.code, tc.want)
			}
		})
	}
}

func TestShowOutput(t *testing.T) {
	t.Parallel()
	fixed := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	secret := func() *snapshot.Snapshot {
		return &snapshot.Snapshot{
			Record: snapshot.Record{
				ID: "aaaaaaaaaaaaaaaa", Resource: "secrets", APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "s", UID: "uid-1",
				SavedAt: fixed, ResourceVersion: "1016", Generation: 5, CRDVersion: "77", State: "restored", StateAt: fixed.Add(time.Hour),
				Approval: "a-1", Operation: "delete", User: "alice\r\nkind: Evil", Reason: "clean-up\nof: \x1b[2Jeverything", Size: 10,
				LastAttempt: &snapshot.Attempt{Operation: "undo", User: "bob", At: fixed.Add(time.Minute)},
				Journal:     &snapshot.Journal{Operation: "restore", Phase: snapshot.PhaseDone, NewUID: "uid-2", At: fixed.Add(time.Hour)},
			},
			Object: &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "Secret",
				"metadata": map[string]any{
					"name": "s", "namespace": "ns", "managedFields": []any{map[string]any{"manager": "x"}},
					"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": `{"data":{"p":"cGxhbnRlZA=="}}`, "a": "b"},
				},
				"data": map[string]any{"p": "cGxhbnRlZA=="},
			}},
		}
	}
	cases := map[string]struct {
		format string
		reveal bool
	}{
		"masked":   {outputYAML, false},
		"revealed": {outputYAML, true},
		"json":     {outputJSON, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, out, _ := streams()
			o := &recoveryShowOptions{streams: s, output: &outputFlag{format: tc.format}, reveal: tc.reveal}
			snap := secret()
			if err := o.print(snap); err != nil {
				t.Fatal(err)
			}
			golden(t, "recovery-show-"+name, out.String())
			if strings.Contains(out.String(), "cGxhbnRlZA") != tc.reveal {
				t.Errorf("the values are shown: %v, want %v", !tc.reveal, tc.reveal)
			}
			if diff := cmp.Diff(secret(), snap); diff != "" {
				t.Errorf("the snapshot was changed:\n%s", diff)
			}
		})
	}
}

func TestSnapshotID(t *testing.T) {
	t.Parallel()
	record := &snapshot.Record{ID: "aaaaaaaaaaaaaaaa", Resource: "things.example", Namespace: "ns", Name: "a"}
	cases := map[string]struct {
		arg  string
		want string
	}{
		"an ID":            {arg: "aaaaaaaaaaaaaaaa"},
		"a whole line":     {arg: "things.example/ns/a/aaaaaaaaaaaaaaaa"},
		"another's line":   {arg: "things.example/ns/b/aaaaaaaaaaaaaaaa", want: "snapshot aaaaaaaaaaaaaaaa is things.example/ns/a/aaaaaaaaaaaaaaaa, not things.example/ns/b/aaaaaaaaaaaaaaaa"},
		"part of a line":   {arg: "a/aaaaaaaaaaaaaaaa", want: "snapshot aaaaaaaaaaaaaaaa is things.example/ns/a/aaaaaaaaaaaaaaaa, not a/aaaaaaaaaaaaaaaa"},
		"too short":        {arg: "aaaa", want: `"aaaa" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
		"other characters": {arg: "aaaaaaaaaaaaaaa1", want: `"aaaaaaaaaaaaaaa1" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
		"nothing":          {arg: "", want: `"" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			named, err := snapshotID(tc.arg)
			if err == nil {
				err = named.matches(record)
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tc.want != "" && (err == nil || err.Error() != tc.want || exitCode(err) != exitUsage):
				t.Errorf("error %v (exit code %d), want %q", err, exitCode(err), tc.want)
			}
		})
	}
}

func TestPresenceOf(t *testing.T) {
	t.Parallel()
	live := func(uid types.UID, terminating bool) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: uid}}
		if terminating {
			m.DeletionTimestamp = &metav1.Time{}
		}
		return m
	}
	back := &snapshot.Record{UID: "old", Journal: &snapshot.Journal{NewUID: "new"}}
	cases := map[string]struct {
		record *snapshot.Record
		live   *metav1.PartialObjectMetadata
		want   presence
	}{
		"there":                          {&snapshot.Record{UID: "old"}, live("old", false), present},
		"on its way out":                 {&snapshot.Record{UID: "old"}, live("old", true), terminating},
		"gone":                           {&snapshot.Record{UID: "old"}, nil, gone},
		"another one":                    {&snapshot.Record{UID: "old"}, live("other", false), replaced},
		"brought back":                   {back, live("new", false), present},
		"brought back and deleted again": {back, live("new", true), terminating},
		"another one since":              {back, live("other", true), replaced},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := presenceOf(objectOf(tc.record), tc.live); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
