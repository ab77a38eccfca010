// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// ledger answers with what it is given and notes what is used.
type ledger struct {
	approval *v1alpha1.DeletionApproval
	against  string
	findErr  error
	// consume has an answer for each try.
	consume []error
	asked   []approvals.Ask
	used    []string
}

func (l *ledger) Find(_ context.Context, ask approvals.Ask) (*v1alpha1.DeletionApproval, string, error) {
	l.asked = append(l.asked, ask)
	return l.approval, l.against, l.findErr
}

func (l *ledger) Consume(_ context.Context, a *v1alpha1.DeletionApproval, ask approvals.Ask) error {
	l.used = append(l.used, a.Name+" "+ask.User+" "+string(ask.RequestUID))
	err := l.consume[0]
	if l.consume = l.consume[1:]; errors.Is(err, approvals.ErrTaken) {
		l.approval, l.against = nil, "Approval ok does not count: mallory used it at noon"
	}
	return err
}

func granted() *v1alpha1.DeletionApproval {
	return &v1alpha1.DeletionApproval{ObjectMeta: metav1.ObjectMeta{Name: "ok"}, Spec: v1alpha1.DeletionApprovalSpec{ApprovedBy: "alice", Reason: "sold out"}}
}

func TestApproved(t *testing.T) {
	t.Parallel()
	taken := fmt.Errorf("use it: %w", approvals.ErrTaken)
	tests := map[string]struct {
		reason    string
		check     rule
		ledger    ledger
		dry       bool
		storeErr  error
		want      bool
		wantCode  int32
		wantText  string
		wantUsed  []string
		wantSaved int
	}{
		"refused, and approved":     {check: inUse, ledger: ledger{approval: granted(), consume: []error{nil}}, want: true, wantCode: 200, wantText: "would be refused, but alice approved it (ok): sold out", wantUsed: []string{"ok eve r-1"}, wantSaved: 1},
		"dry-run":                   {reason: "answered as the real one, and not used up", check: inUse, ledger: ledger{approval: granted()}, dry: true, want: true, wantCode: 200, wantText: "alice approved it"},
		"not decided, and approved": {reason: "whoever approves it does not care who uses it", check: broken, ledger: ledger{approval: granted(), consume: []error{nil}}, want: true, wantCode: 200, wantUsed: []string{"ok eve r-1"}, wantSaved: 1},
		"not saved":                 {reason: "nothing goes unsaved, and what was refused uses nothing up", check: inUse, ledger: ledger{approval: granted()}, storeErr: errors.New("away"), wantCode: 500, wantText: "could not save", wantSaved: 1},
		"not approved":              {check: inUse, wantCode: 403, wantText: "plan shop/gold is in use."},
		"does not count":            {check: inUse, ledger: ledger{against: "Approval old does not count: it expired at noon"}, wantCode: 403, wantText: "Approval old does not count: it expired at noon. plan shop/gold is in use."},
		"approvals cannot be read":  {check: inUse, ledger: ledger{findErr: errors.New("no answer.")}, wantCode: 403, wantText: "Approvals could not be looked for: no answer. plan shop/gold is in use."},
		"somebody was faster":       {check: inUse, ledger: ledger{approval: granted(), consume: []error{taken}}, wantCode: 403, wantText: "mallory used it at noon. plan shop/gold is in use.", wantUsed: []string{"ok eve r-1"}, wantSaved: 1},
		"cannot be used":            {check: inUse, ledger: ledger{approval: granted(), consume: []error{errors.New("no answer")}}, wantCode: 403, wantText: "Approval ok could not be used: no answer. plan shop/gold is in use.", wantUsed: []string{"ok eve r-1"}, wantSaved: 1},
		"not refused":               {reason: "nobody is asked for what nobody refuses", check: free, ledger: ledger{approval: granted()}, want: true, wantCode: 200, wantSaved: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &saves{err: tc.storeErr}
			h := newHandler(t, "", tc.check, store)
			h.Approvals = &tc.ledger
			edit := func(*admissionv1.AdmissionRequest) {}
			if tc.dry {
				edit = dryRun
			}
			got := h.Handle(t.Context(), request(edit))
			if got.Allowed != tc.want || got.Result.Code != tc.wantCode {
				t.Errorf("answer %t %d, want %t %d (%s): %s", got.Allowed, got.Result.Code, tc.want, tc.wantCode, tc.reason, got.Result.Message)
			}
			text := got.Result.Message + "\n" + Unwrap(got.Warnings)
			if !strings.Contains(text, tc.wantText) {
				t.Errorf("text %q, want %q in it", text, tc.wantText)
			}
			if diff := cmp.Diff(tc.wantUsed, tc.ledger.used); diff != "" {
				t.Errorf("used (-want +got):\n%s", diff)
			}
			if len(store.seen) != tc.wantSaved {
				t.Errorf("saved %v, want %d", store.seen, tc.wantSaved)
			}
			if name == "not refused" && len(tc.ledger.asked) > 0 {
				t.Error("approvals were asked about what nothing refuses")
			}
		})
	}
}

func TestApprovedIsToldAndRecorded(t *testing.T) {
	t.Parallel()
	store := &saves{}
	h := newHandler(t, "", inUse, store)
	h.Approvals = &ledger{approval: granted(), consume: []error{nil}}
	got := h.Handle(t.Context(), request(nil))
	want := map[string]string{
		"verdict": "approved", "rule": "in-use", "why": "plan shop/gold is in use.", "snapshot": "id",
		"approval": "ok", "approved": "approved by alice: sold out",
	}
	if diff := cmp.Diff(want, got.AuditAnnotations); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ok approved by alice: sold out"}, store.reasons); diff != "" {
		t.Errorf("reasons with the snapshots (-want +got):\n%s", diff)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	h := newHandler(t, "", inUse, &saves{})
	l := &ledger{}
	h.Approvals = l
	h.Handle(t.Context(), request(old(strings.Replace(plan, `"uid"`, `"annotations":{"meta.helm.sh/release-name":"billing","meta.helm.sh/release-namespace":"ops"},"uid"`, 1))))
	want := []approvals.Ask{{
		Resource: schema.GroupResource{Group: "billing.example", Resource: "plans"}, Namespace: "shop", Name: "gold", UID: "u-1", Operation: "delete", User: "eve", RequestUID: "r-1",
		Release: types.NamespacedName{Namespace: "ops", Name: "billing"}, Profile: "profile billing",
	}}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestPaused(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	paused := func(context.Context) (time.Time, bool) { return until, true }
	tests := map[string]struct {
		check     rule
		paused    Paused
		storeErr  error
		raw       string
		want      bool
		wantText  string
		wantSaved int
	}{
		"in use":           {check: inUse, paused: paused, want: true, wantText: "would be refused, but Holdfast is paused until 2026-01-02T12:00:00Z: plan shop/gold is in use.", wantSaved: 1},
		"not decided":      {check: broken, paused: paused, want: true, wantText: "no answer", wantSaved: 1},
		"not saved":        {check: free, paused: paused, storeErr: errors.New("away"), want: true, wantText: "could not save", wantSaved: 1},
		"cannot be read":   {check: free, paused: paused, raw: plan[:30], want: true, wantText: "decode"},
		"not paused (now)": {check: inUse, paused: func(context.Context) (time.Time, bool) { return time.Time{}, false }, wantText: "in use"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &saves{err: tc.storeErr}
			h := newHandler(t, "", tc.check, store)
			h.Paused = tc.paused
			l := &ledger{approval: granted()}
			if tc.want {
				h.Approvals = l
			}
			edit := func(*admissionv1.AdmissionRequest) {}
			if tc.raw != "" {
				edit = old(tc.raw)
			}
			got := h.Handle(t.Context(), request(edit))
			if got.Allowed != tc.want || len(store.seen) != tc.wantSaved {
				t.Errorf("allowed %t, saved %d; want %t, %d: %s", got.Allowed, len(store.seen), tc.want, tc.wantSaved, got.Result.Message)
			}
			if text := got.Result.Message + Unwrap(got.Warnings); !strings.Contains(text, tc.wantText) {
				t.Errorf("text %q, want %q in it", text, tc.wantText)
			}
			if tc.want && got.AuditAnnotations["verdict"] != "paused" {
				t.Errorf("verdict = %q", got.AuditAnnotations["verdict"])
			}
			if len(l.used) > 0 {
				t.Error("an approval was used up though nothing is refused")
			}
		})
	}
}

// What one rule lets pass by its mode must not hide what another one refuses.
func TestModesOfSeveralRules(t *testing.T) {
	t.Parallel()
	as := func(mode v1alpha1.Mode, name string) rule {
		return func(guard.Request) (guard.Verdict, error) {
			return guard.Verdict{Denied: true, Rule: name, Mode: mode, Message: name}, nil
		}
	}
	tests := map[string]struct {
		rules       []guard.Rule
		wantVerdict string
		wantRule    string
	}{
		"audit, then enforce": {[]guard.Rule{as("audit", "one"), as("", "two")}, "deny", "two"},
		"warn, then enforce":  {[]guard.Rule{as("warn", "one"), as("enforce", "two")}, "deny", "two"},
		"audit, then warn":    {[]guard.Rule{as("audit", "one"), as("warn", "two")}, "warn", "two"},
		"warn, then audit":    {[]guard.Rule{as("warn", "one"), as("audit", "two")}, "warn", "one"},
		"audit, then none":    {[]guard.Rule{as("audit", "one"), free}, "audit", "one"},
		"audit, then warned":  {[]guard.Rule{as("audit", "one"), warns}, "audit", "one"},
		"audit, not decided":  {[]guard.Rule{as("audit", "one"), broken}, "undecided", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, "", free, &saves{})
			h.Rules = tc.rules
			got := h.Handle(t.Context(), request(nil))
			if got.AuditAnnotations["verdict"] != tc.wantVerdict || got.AuditAnnotations["rule"] != tc.wantRule {
				t.Errorf("annotations = %v, want %s by %s", got.AuditAnnotations, tc.wantVerdict, tc.wantRule)
			}
		})
	}
}

// Audit mode is counted and annotated, and nobody notices.
func TestAuditModeIsSilent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		check    rule
		storeErr error
		want     string
	}{
		"would be refused":  {check: inUse, want: "audit"},
		"not decided":       {check: broken, want: "audit"},
		"not saved":         {check: free, storeErr: errors.New("away"), want: "audit"},
		"refused, unsaved":  {check: inUse, storeErr: errors.New("away"), want: "audit"},
		"warned about":      {check: warns, want: "allow"},
		"allowed and saved": {check: free, want: "allow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, "    mode: audit\n", tc.check, &saves{err: tc.storeErr})
			got := h.Handle(t.Context(), request(nil))
			if !got.Allowed || len(got.Warnings) > 0 || got.AuditAnnotations["verdict"] != tc.want {
				t.Errorf("allowed %t, warnings %q, annotations %v", got.Allowed, got.Warnings, got.AuditAnnotations)
			}
		})
	}
}
