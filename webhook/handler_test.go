// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const plan = `{"apiVersion":"billing.example/v1","kind":"Plan","metadata":{"name":"gold","namespace":"shop","uid":"u-1","resourceVersion":"7"},"spec":{}}`

// saves notes what it was asked to save.
type saves struct {
	mu   sync.Mutex
	err  error
	seen []string
	// reasons are those that came with what was saved.
	reasons []string
}

func (s *saves) Save(_ context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p snapshot.Provenance) (snapshot.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Reason != "" {
		s.reasons = append(s.reasons, p.Approval+" "+p.Reason)
	}
	s.seen = append(s.seen, gr.String()+" "+obj.GetNamespace()+"/"+obj.GetName()+" "+p.Operation+" "+p.User)
	return snapshot.Record{ID: "id"}, s.err
}

// rule is a function as a guard.Rule.
type rule func(guard.Request) (guard.Verdict, error)

func (r rule) Check(_ context.Context, req guard.Request) (guard.Verdict, error) { return r(req) }

func profiles(tb testing.TB, more string) *profile.Set {
	tb.Helper()
	p, err := profile.Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: billing}\nspec:\n  resources:\n  - resource: plans.billing.example\n" + more))
	if err != nil {
		tb.Fatal(err)
	}
	set, err := profile.NewSet(p...)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func newHandler(t *testing.T, more string, check rule, store *saves) *Handler {
	t.Helper()
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{Profiles: profiles(t, more), Rules: []guard.Rule{check}, Finalizers: check, Snapshots: store, Metrics: metrics, Timeout: time.Minute}
}

// request deletes plan gold of namespace shop, changed by edit.
func request(edit func(*admissionv1.AdmissionRequest)) admission.Request {
	r := admissionv1.AdmissionRequest{
		UID: "r-1", Operation: admissionv1.Delete,
		Resource:  metav1.GroupVersionResource{Group: "billing.example", Version: "v1", Resource: "plans"},
		Namespace: "shop", Name: "gold",
		OldObject: runtime.RawExtension{Raw: []byte(plan)},
		UserInfo:  authenticationv1.UserInfo{Username: "eve"},
	}
	if edit != nil {
		edit(&r)
	}
	return admission.Request{AdmissionRequest: r}
}

func asUser(name string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = name }
}

func old(raw string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { r.OldObject.Raw = []byte(raw) }
}

var (
	free  = rule(func(guard.Request) (guard.Verdict, error) { return guard.Verdict{}, nil })
	inUse = rule(func(guard.Request) (guard.Verdict, error) {
		return guard.Verdict{Denied: true, Rule: "in-use", Message: "plan shop/gold is in use.", Causes: []guard.Cause{{Object: "subscription shop/a", Field: "{.spec.plan}"}}}, nil
	})
	warns = rule(func(guard.Request) (guard.Verdict, error) {
		return guard.Verdict{Warning: "Its secrets go with it."}, nil
	})
	broken = rule(func(guard.Request) (guard.Verdict, error) {
		return guard.Verdict{}, errors.New("list subscriptions: no answer")
	})
)

func TestHandle(t *testing.T) {
	t.Parallel()
	const saved = "plans.billing.example shop/gold delete eve"
	terminating := strings.Replace(plan, `"uid"`, `"deletionTimestamp":"2026-01-01T00:00:00Z","uid"`, 1)
	tests := map[string]struct {
		reason   string
		profile  string
		check    rule
		edit     func(*admissionv1.AdmissionRequest)
		storeErr error
		want     bool
		wantCode int32
		wantSave []string
		wantText string // in the message or the warnings
	}{
		"allowed and saved":         {check: free, want: true, wantCode: 200, wantSave: []string{saved}, wantText: "holdfast recovery restore id"},
		"allowed, with a warning":   {check: warns, want: true, wantCode: 200, wantSave: []string{saved}, wantText: "Its secrets go with it."},
		"in use":                    {check: inUse, wantCode: 403, wantText: "plan shop/gold is in use."},
		"lookup fault":              {check: broken, wantCode: 500, wantText: "list subscriptions: no answer"},
		"in use, dry-run":           {check: inUse, edit: dryRun, wantCode: 403},
		"free, dry-run":             {reason: "nothing goes, so nothing is saved", check: free, edit: dryRun, want: true, wantCode: 200},
		"collection":                {reason: "the request has no name; the object has", check: free, edit: func(r *admissionv1.AdmissionRequest) { r.Name = "" }, want: true, wantCode: 200, wantSave: []string{saved}},
		"in use, collection":        {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Name = "" }, wantCode: 403},
		"no old object":             {check: free, edit: old(""), wantCode: 500, wantText: "sent no object"},
		"null old object":           {check: free, edit: old("null"), wantCode: 500, wantText: "sent no object"},
		"old object cut off":        {check: free, edit: old(plan[:30]), wantCode: 500, wantText: "decode"},
		"old object without a uid":  {check: free, edit: old(`{"apiVersion":"billing.example/v1","kind":"Plan","metadata":{"name":"gold","namespace":"shop"}}`), wantCode: 500, wantText: "no uid"},
		"another object sent":       {check: free, edit: func(r *admissionv1.AdmissionRequest) { r.Name = "silver" }, wantCode: 500, wantText: "silver"},
		"another namespace sent":    {check: free, edit: func(r *admissionv1.AdmissionRequest) { r.Namespace = "mall" }, wantCode: 500, wantText: "mall"},
		"terminating, in use":       {reason: "it is on its way; it is saved if that is news", check: inUse, edit: old(terminating), want: true, wantCode: 200, wantSave: []string{saved}},
		"terminating, store away":   {reason: "a refusal would keep nothing", check: inUse, edit: old(terminating), storeErr: errors.New("away"), want: true, wantCode: 200, wantSave: []string{saved}, wantText: "could not save"},
		"subresource":               {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" }, want: true, wantCode: 200},
		"update":                    {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }, want: true, wantCode: 200},
		"namespace controller":      {reason: "refusing it strands the namespace", check: inUse, edit: asUser("system:serviceaccount:kube-system:namespace-controller"), want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold delete system:serviceaccount:kube-system:namespace-controller"}},
		"namespace controller, off": {reason: "not even it deletes what is not saved; it tries again", check: free, edit: asUser("system:serviceaccount:kube-system:namespace-controller"), storeErr: errors.New("away"), wantCode: 500, wantSave: []string{"plans.billing.example shop/gold delete system:serviceaccount:kube-system:namespace-controller"}},
		"controller manager":        {check: inUse, edit: asUser("system:kube-controller-manager"), want: true, wantCode: 200, wantSave: []string{"plans.billing.example shop/gold delete system:kube-controller-manager"}},
		"garbage collector":         {reason: "it tries again", check: inUse, edit: asUser("system:serviceaccount:kube-system:generic-garbage-collector"), wantCode: 403},
		"foreign kind":              {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "invoices" }, want: true, wantCode: 200},
		"foreign group":             {check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "other.example" }, want: true, wantCode: 200},
		"another version":           {reason: "a resource is guarded in all its versions", check: inUse, edit: func(r *admissionv1.AdmissionRequest) { r.Resource.Version = "v9" }, wantCode: 403},
		"store away":                {check: free, storeErr: errors.New("away"), wantCode: 500, wantSave: []string{saved}, wantText: "could not save plan shop/gold first"},
		"best effort, store away":   {profile: "    snapshot: bestEffort\n", check: free, storeErr: errors.New("away"), want: true, wantCode: 200, wantSave: []string{saved}, wantText: "could not save plan shop/gold"},
		"no snapshots":              {profile: "    snapshot: none\n", check: free, want: true, wantCode: 200},
		"warn":                      {profile: "    mode: warn\n", check: inUse, want: true, wantCode: 200, wantSave: []string{saved}, wantText: "would be refused: plan shop/gold is in use."},
		"warn, lookup fault":        {profile: "    mode: warn\n", check: broken, want: true, wantCode: 200, wantSave: []string{saved}, wantText: "no answer"},
		"audit":                     {reason: "never blocks or warns", profile: "    mode: audit\n", check: inUse, want: true, wantCode: 200, wantSave: []string{saved}},
		"audit, lookup fault":       {profile: "    mode: audit\n", check: broken, want: true, wantCode: 200, wantSave: []string{saved}},
		"audit, store away":         {profile: "    mode: audit\n", check: free, storeErr: errors.New("away"), want: true, wantCode: 200, wantSave: []string{saved}},
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
			text := strings.Join(strings.Fields(got.Result.Message+" "+strings.ReplaceAll(strings.Join(got.Warnings, " "), "holdfast: ", "")), " ")
			if !strings.Contains(text, tc.wantText) {
				t.Errorf("the answer does not hold %q: %s", tc.wantText, text)
			}
			for _, w := range got.Warnings {
				if len(w) > 256 {
					t.Errorf("the API server may cut this warning: %s", w)
				}
			}
		})
	}
}

func dryRun(r *admissionv1.AdmissionRequest) { r.DryRun = ptr.To(true) }

// The whole refusal, as programs and people get it.
func TestRefusal(t *testing.T) {
	t.Parallel()
	got := newHandler(t, "", inUse, &saves{}).Handle(t.Context(), request(nil))
	want := admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Result: &metav1.Status{
			Status: "Failure", Reason: "Forbidden", Code: 403, Message: "plan shop/gold is in use.",
			Details: &metav1.StatusDetails{
				Group: "billing.example", Kind: "plans", Name: "gold",
				Causes: []metav1.StatusCause{{Type: "HoldfastInUse", Message: "subscription shop/a", Field: "{.spec.plan}"}},
			},
		},
		Warnings:         []string{"holdfast: plan shop/gold is in use."},
		AuditAnnotations: map[string]string{"verdict": "deny", "rule": "in-use", "why": "plan shop/gold is in use."},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

// A decision that hangs must end before the API server gives up.
func TestHandleEndsInTime(t *testing.T) {
	t.Parallel()
	hangs := newHandler(t, "", free, &saves{})
	hangs.Rules = []guard.Rule{ruleFunc(func(ctx context.Context, _ guard.Request) (guard.Verdict, error) {
		<-ctx.Done()
		return guard.Verdict{}, ctx.Err()
	})}
	hangs.Timeout = time.Millisecond
	if got := hangs.Handle(t.Context(), request(nil)); got.Allowed || got.Result.Code != 500 {
		t.Errorf("answer = %+v", got)
	}
}

type ruleFunc func(context.Context, guard.Request) (guard.Verdict, error)

func (f ruleFunc) Check(ctx context.Context, r guard.Request) (guard.Verdict, error) {
	return f(ctx, r)
}

// A replica that runs with other profiles than those registered must not let
// through what it does not know.
func TestForeign(t *testing.T) {
	t.Parallel()
	h := newHandler(t, "", free, &saves{})
	h.Foreign = func(context.Context, schema.GroupResource) error { return errors.New("other profiles") }
	got := h.Handle(t.Context(), request(func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "invoices" }))
	if got.Allowed || got.Result.Code != 500 || !strings.Contains(got.Result.Message, "other profiles") {
		t.Errorf("answer = %+v", got)
	}
}

func TestAsWarnings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"a sentence":     {"It is in use.", []string{"holdfast: It is in use."}},
		"two sentences":  {"It is in use. Ask first.", []string{"holdfast: It is in use.", "holdfast: Ask first."}},
		"dots in a name": {"tier n0. small is. in use", []string{"holdfast: tier n0. small is. in use"}},
		"long": {
			strings.Repeat("abcdefghi ", 30) + "end.",
			[]string{"holdfast: " + strings.TrimSpace(strings.Repeat("abcdefghi ", 24)), "holdfast: " + strings.Repeat("abcdefghi ", 6) + "end."},
		},
	} {
		if diff := cmp.Diff(tc.want, asWarnings(tc.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
