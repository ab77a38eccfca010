// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const (
	goingPlan = `{"apiVersion":"billing.example/v1","kind":"Plan","metadata":{"name":"gold","namespace":"shop","uid":"u-1","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["billing.example/a","billing.example/b"]},"spec":{}}`
	freedPlan = `{"apiVersion":"billing.example/v1","kind":"Plan","metadata":{"name":"gold","namespace":"shop","uid":"u-1","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["billing.example/b"]},"spec":{}}`
	goingName = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","uid":"u-2","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"finalizers":["kubernetes"]}}`
)

// strips makes of a deletion the removal of one of two finalizers.
func strips(edits ...func(*admissionv1.AdmissionRequest)) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) {
		r.Operation = admissionv1.Update
		r.OldObject = runtime.RawExtension{Raw: []byte(goingPlan)}
		r.Object = runtime.RawExtension{Raw: []byte(freedPlan)}
		for _, edit := range edits {
			edit(r)
		}
	}
}

func updated(raw string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(raw) }
}

func through(subresource string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { r.SubResource = subresource }
}

// ofNamespace makes it an update of a namespace that is being deleted.
func ofNamespace(r *admissionv1.AdmissionRequest) {
	r.Resource.Group, r.Resource.Version, r.Resource.Resource = "", "v1", "namespaces"
	r.Name, r.Namespace, r.SubResource = "shop", "shop", "finalize"
	r.OldObject.Raw = []byte(goingName)
	r.Object.Raw = []byte(strings.Replace(goingName, `["kubernetes"]`, `[]`, 1))
}

func TestHandleFinalizers(t *testing.T) {
	t.Parallel()
	const saved = "plans.billing.example shop/gold strip-finalizers eve"
	away := errors.New("away")
	marked := updated(strings.Replace(freedPlan, `"uid"`, `"annotations":{"holdfast.dev/undo":"u-1"},"uid"`, 1))
	const program = "system:serviceaccount:ops:billing"
	tests := map[string]struct {
		reason   string
		profile  string
		check    rule
		edit     func(*admissionv1.AdmissionRequest)
		storeErr error
		want     bool
		wantCode int32
		wantSave []string
		wantText string
	}{
		"allowed, and the last state saved": {check: free, edit: strips(), want: true, wantCode: 200, wantSave: []string{saved}, wantText: "saved plan shop/gold as it was with its finalizers"},
		"in use":                            {check: inUse, edit: strips(), wantCode: 403, wantText: "plan shop/gold is in use."},
		"lookup fault":                      {check: broken, edit: strips(), wantCode: 500, wantText: "decide whether the finalizers of plan shop/gold may be removed"},
		"in use, dry-run":                   {check: inUse, edit: strips(dryRun), wantCode: 403},
		"free, dry-run":                     {check: free, edit: strips(dryRun), want: true, wantCode: 200},
		"no old object":                     {check: free, edit: strips(old("")), wantCode: 500, wantText: "sent no object"},
		"no new object":                     {check: free, edit: strips(updated("")), wantCode: 500, wantText: "decode the object as it would be"},
		"status":                            {reason: "built-in kinds let metadata be changed there", check: inUse, edit: strips(through("status")), wantCode: 403},
		"finalize":                          {check: inUse, edit: strips(through("finalize")), wantCode: 403},
		"scale":                             {reason: "it has no finalizers", check: inUse, edit: strips(through("scale")), want: true, wantCode: 200},
		"not terminating":                   {check: inUse, edit: strips(old(plan)), want: true, wantCode: 200},
		"other change":                      {check: inUse, edit: strips(updated(goingPlan)), want: true, wantCode: 200},
		"one replaced by another":           {check: inUse, edit: strips(updated(strings.Replace(goingPlan, "example/a", "example/c", 1))), wantCode: 403},
		"another order":                     {check: inUse, edit: strips(updated(strings.Replace(goingPlan, `"billing.example/a","billing.example/b"`, `"billing.example/b","billing.example/a"`, 1))), want: true, wantCode: 200},
		"API server":                        {reason: "it is finishing what was decided", check: inUse, edit: strips(asUser("system:apiserver")), want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold strip-finalizers system:apiserver"}},
		"namespace controller":              {check: inUse, edit: strips(asUser("system:serviceaccount:kube-system:namespace-controller")), want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold strip-finalizers system:serviceaccount:kube-system:namespace-controller"}},
		"controller manager":                {check: inUse, edit: strips(asUser("system:kube-controller-manager")), want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold strip-finalizers system:kube-controller-manager"}},
		"garbage collector":                 {reason: "it tries again", check: inUse, edit: strips(asUser("system:serviceaccount:kube-system:generic-garbage-collector")), wantCode: 403},
		"foreign kind":                      {check: inUse, edit: strips(func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "invoices" }), want: true, wantCode: 200},
		"store away":                        {check: free, edit: strips(), storeErr: away, wantCode: 500, wantSave: []string{saved}, wantText: "could not save plan shop/gold first"},
		"store away, by a program":          {reason: "its work does not wait for Holdfast", check: free, edit: strips(asUser(program)), storeErr: away, want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold strip-finalizers " + program}},
		"store away, an undo":               {reason: "it has saved it itself", check: free, edit: strips(marked), storeErr: away, want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold undo eve"}},
		"best effort, store away":           {profile: "    snapshot: bestEffort\n", check: free, edit: strips(), storeErr: away, want: true, wantCode: 200, wantSave: []string{saved}},
		"warn":                              {profile: "    mode: warn\n", check: inUse, edit: strips(), want: true, wantCode: 200, wantSave: []string{saved}, wantText: "would be refused"},
		"audit":                             {profile: "    mode: audit\n", check: inUse, edit: strips(), want: true, wantCode: 200, wantSave: []string{saved}},
		"namespace":                         {check: inUse, edit: strips(ofNamespace), wantCode: 403},
		"namespace, unused":                 {check: free, edit: strips(ofNamespace), want: true, wantCode: 200},
		"namespace, other change":           {check: inUse, edit: strips(ofNamespace, updated(goingName)), want: true, wantCode: 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &saves{err: tc.storeErr}
			got := newHandler(t, tc.profile, tc.check, store).Handle(t.Context(), request(tc.edit))
			if got.Allowed != tc.want || got.Result.Code != tc.wantCode {
				t.Errorf("allowed %v, code %d; want %v, %d (%s): %+v", got.Allowed, got.Result.Code, tc.want, tc.wantCode, tc.reason, got.Result)
			}
			if diff := cmp.Diff(tc.wantSave, store.seen); diff != "" {
				t.Errorf("saved (-want +got), %s:\n%s", tc.reason, diff)
			}
			if text := got.Result.Message + " " + strings.Join(got.Warnings, " "); !strings.Contains(text, tc.wantText) {
				t.Errorf("the answer does not hold %q: %s", tc.wantText, text)
			}
		})
	}
}

// What a rule is asked, and what programs of the cluster are told.
func TestFinalizersRequest(t *testing.T) {
	t.Parallel()
	var seen guard.Request
	look := rule(func(r guard.Request) (guard.Verdict, error) {
		seen = r
		return guard.Verdict{}, nil
	})
	h := newHandler(t, "", look, &saves{})
	h.Rules = nil
	got := h.Handle(t.Context(), request(strips(asUser("system:serviceaccount:ops:billing"))))
	if seen.New == nil || len(seen.New.GetFinalizers()) != 1 || len(seen.Old.GetFinalizers()) != 2 || seen.User != "system:serviceaccount:ops:billing" {
		t.Errorf("asked %+v", seen)
	}
	if len(got.Warnings) != 0 {
		t.Errorf("a program is told %v", got.Warnings)
	}
	want := map[string]string{"verdict": "allow", "snapshot": "id", "operation": "strip-finalizers"}
	if diff := cmp.Diff(want, got.AuditAnnotations); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	h.Finalizers = nil
	if got := h.Handle(t.Context(), request(strips())); got.Allowed || got.Result.Code != 500 {
		t.Errorf("without the rule: %+v", got)
	}
}
