// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// A decision that changes something is one line, and one line only.
func TestReport(t *testing.T) {
	t.Parallel()
	given := &grant{approval: &v1alpha1.DeletionApproval{
		ObjectMeta: metav1.ObjectMeta{Name: "delete-gold-x"}, Spec: v1alpha1.DeletionApprovalSpec{ApprovedBy: "alice", Reason: "sold"},
	}}
	for name, c := range map[string]struct {
		outcome outcome
		dryRun  bool
		want    []string
	}{
		"refused":          {outcome{verdict: verdictDeny, rule: "in-use", why: "used"}, false, []string{`{"dryRun":false,"msg":"Deletion refused","rule":"in-use","why":"used"}`}},
		"refused, dry-run": {outcome{verdict: verdictDeny, rule: "in-use", why: "used"}, true, []string{`{"dryRun":true,"msg":"Deletion refused","rule":"in-use","why":"used"}`}},
		"undecided":        {outcome{verdict: verdictUndecided, why: "no answer"}, false, []string{`{"dryRun":false,"msg":"Deletion refused because it could not be decided","why":"no answer"}`}},
		"approved":         {outcome{verdict: verdictAllow, rule: "in-use", why: "used", snapshot: "s", grant: given}, false, []string{`{"approval":"delete-gold-x","dryRun":false,"msg":"Deletion approved","reason":"approved by alice: sold","rule":"in-use","snapshot":"s","why":"used"}`}},
		"while paused":     {outcome{verdict: verdictPaused, rule: "crd", why: "used", snapshot: "s"}, false, []string{`{"dryRun":false,"msg":"Deletion let pass while paused","rule":"crd","snapshot":"s","why":"used"}`}},
		"in audit mode":    {outcome{verdict: verdictAudit, rule: "crd", why: "used", snapshot: "s"}, false, []string{`{"dryRun":false,"mode":"audit","msg":"Deletion let pass by the mode","rule":"crd","snapshot":"s","why":"used"}`}},
		"allowed":          {outcome{verdict: verdictAllow, snapshot: "s"}, false, []string{`{"msg":"Deletion allowed","snapshot":"s"}`}},
		"allowed, unsaved": {outcome{verdict: verdictAllow, why: "no room"}, false, []string{`{"msg":"Deletion allowed without a snapshot","why":"no room"}`}},
		"finalizers":       {outcome{verdict: verdictAllow, snapshot: "s", operation: "strip-finalizers"}, false, []string{`{"msg":"Deletion allowed","operation":"strip-finalizers","snapshot":"s"}`}},
		"would be allowed": {outcome{verdict: verdictAllow}, true, nil},
		"paused, dry-run":  {outcome{verdict: verdictPaused, rule: "crd", why: "used"}, true, []string{`{"dryRun":true,"msg":"Deletion let pass while paused","rule":"crd","snapshot":"","why":"used"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lines []string
			log := funcr.NewJSON(func(line string) {
				var fields map[string]any
				if err := json.Unmarshal([]byte(line), &fields); err != nil {
					t.Errorf("%s is no JSON: %v", line, err)
				}
				delete(fields, "level")
				delete(fields, "logger")
				clean, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, string(clean))
			}, funcr.Options{})
			report(logf.IntoContext(t.Context(), log), c.outcome, c.dryRun)
			if diff := cmp.Diff(c.want, lines); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
