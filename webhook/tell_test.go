// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/holdfast-dev/holdfast/webhook/events"
)

// told notes what it was told.
type told struct{ events []events.Event }

func (t *told) Tell(e events.Event) { t.events = append(t.events, e) }

func TestTell(t *testing.T) {
	t.Parallel()
	gold := corev1.ObjectReference{APIVersion: "billing.example/v1", Kind: "Plan", Namespace: "shop", Name: "gold", UID: "u-1", ResourceVersion: "7"}
	about := func(warning bool, reason, message string) []events.Event {
		return []events.Event{{Object: gold, Action: "Delete", Warning: warning, Reason: reason, Message: message}}
	}
	for name, tc := range map[string]struct {
		reason   string
		profile  string
		check    rule
		edit     func(*admissionv1.AdmissionRequest)
		storeErr error
		want     []events.Event
	}{
		"refused":           {check: inUse, want: about(true, "DeletionRefused", "plan shop/gold is in use. (asked for by eve)")},
		"refused, dry-run":  {check: inUse, edit: dryRun},
		"collection":        {reason: "the object is known from what was sent", check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Name = "" }, want: about(true, "DeletionRefused", "plan shop/gold is in use. (asked for by eve)")},
		"undecided":         {check: broken, want: about(true, "DeletionUndecided", `holdfast could not decide whether plan shop/gold may be deleted, so nothing was changed: list subscriptions: no answer. Mend that and try again; "holdfast explain" asks without deleting. (asked for by eve)`)},
		"saved and gone":    {reason: "the snapshot and the log tell it; nobody looks for what is gone", check: free},
		"saved and held":    {check: free, edit: old(strings.Replace(plan, `"uid"`, `"finalizers":["example.com/hold"],"uid"`, 1)), want: about(false, "SavedBeforeDeletion", "saved before its deletion by eve: id; 'holdfast recovery list' and 'restore' bring it back")},
		"saved, dry-run":    {check: free, edit: dryRun},
		"not saved":         {profile: "    snapshot: bestEffort\n", check: free, storeErr: errors.New("away"), want: about(true, "DeletedUnsaved", "could not be saved before its deletion: away (asked for by eve)")},
		"not to be saved":   {profile: "    snapshot: none\n", check: free},
		"warned":            {profile: "    mode: warn\n", check: inUse, want: about(true, "DeletionLetPass", "would be refused: plan shop/gold is in use. (asked for by eve)")},
		"audited":           {reason: "never blocks or warns", profile: "    mode: audit\n", check: inUse},
		"nothing was sent":  {reason: "there is nothing to tell it of", check: free, edit: old("")},
		"not guarded":       {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "invoices" }},
		"another operation": {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Create }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := &told{}
			h := newHandler(t, tc.profile, tc.check, &saves{err: tc.storeErr})
			h.Events = heard
			h.Handle(t.Context(), request(tc.edit))
			if diff := cmp.Diff(tc.want, heard.events); diff != "" {
				t.Errorf("events (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
