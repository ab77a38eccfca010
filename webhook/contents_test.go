// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const (
	shop = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","uid":"n-1"}}`
	crd  = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"plans.billing.example","uid":"c-1"},"spec":{}}`
)

// of makes a request about another object than a plan.
func of(group, resource, namespace, name, raw string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) {
		r.Resource = metav1.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
		r.Namespace, r.Name, r.OldObject = namespace, name, runtime.RawExtension{Raw: []byte(raw)}
	}
}

func both(a, b func(*admissionv1.AdmissionRequest)) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { a(r); b(r) }
}

func TestHandleWhole(t *testing.T) {
	t.Parallel()
	namespace := of("", "namespaces", "shop", "shop", shop)
	definition := of("apiextensions.k8s.io", "customresourcedefinitions", "", "plans.billing.example", crd)
	two := guard.ContentsFunc(func(_ context.Context, namespace string, _ *profile.Guarded) ([]*unstructured.Unstructured, error) {
		var objects []*unstructured.Unstructured
		for _, name := range []string{"gold", "silver"} {
			objects = append(objects, &unstructured.Unstructured{Object: map[string]any{"kind": "Plan", "metadata": map[string]any{"name": name, "namespace": namespace}}})
		}
		return objects, nil
	})
	none := guard.ContentsFunc(func(context.Context, string, *profile.Guarded) ([]*unstructured.Unstructured, error) { return nil, nil })
	unlisted := guard.ContentsFunc(func(context.Context, string, *profile.Guarded) ([]*unstructured.Unstructured, error) {
		return nil, errors.New("no answer")
	})
	saved := []string{"plans.billing.example shop/gold delete eve", "plans.billing.example shop/silver delete eve"}
	tests := map[string]struct {
		reason   string
		profile  string
		edit     func(*admissionv1.AdmissionRequest)
		check    rule
		contents guard.Contents
		storeErr error
		want     bool
		wantCode int32
		wantSave []string
		wantText string
	}{
		"namespace, allowed":             {reason: "what it holds is saved first", edit: namespace, check: free, contents: two, want: true, wantCode: 200, wantSave: saved, wantText: "saved 2 guarded objects of namespace shop"},
		"namespace, refused":             {edit: namespace, check: inUse, contents: two, wantCode: 403},
		"namespace, dry-run":             {edit: both(namespace, dryRun), check: free, contents: two, want: true, wantCode: 200},
		"namespace, store away":          {edit: namespace, check: free, contents: two, storeErr: errors.New("away"), wantCode: 500, wantSave: saved, wantText: "could not save what namespace shop holds first"},
		"namespace, best effort":         {profile: "    snapshot: bestEffort\n", edit: namespace, check: free, contents: two, storeErr: errors.New("away"), want: true, wantCode: 200, wantSave: saved, wantText: "could not save all that namespace shop holds"},
		"namespace, audit, store away":   {profile: "    mode: audit\n", edit: namespace, check: free, contents: two, storeErr: errors.New("away"), want: true, wantCode: 200, wantSave: saved},
		"namespace, no snapshots":        {profile: "    snapshot: none\n", edit: namespace, check: free, contents: unlisted, want: true, wantCode: 200},
		"namespace, not listed":          {edit: namespace, check: free, contents: unlisted, wantCode: 500, wantText: "list plans.billing.example: no answer"},
		"namespace, nobody guards":       {profile: "    namespaces: {blockWhileHolding: never}\n", edit: namespace, check: inUse, contents: two, want: true, wantCode: 200},
		"namespace, refused by an audit": {edit: namespace, check: rule(func(guard.Request) (guard.Verdict, error) { return guard.Verdict{Denied: true, Mode: "audit"}, nil }), contents: two, want: true, wantCode: 200, wantSave: saved},
		"namespace, refused by a warning": {edit: namespace, check: rule(func(guard.Request) (guard.Verdict, error) {
			return guard.Verdict{Denied: true, Mode: "warn", Message: "It holds."}, nil
		}), contents: two, want: true, wantCode: 200, wantSave: saved, wantText: "would be refused: It holds."},
		"namespace, terminating":       {edit: of("", "namespaces", "shop", "shop", strings.Replace(shop, `"uid"`, `"deletionTimestamp":"2026-01-01T00:00:00Z","uid"`, 1)), check: inUse, contents: two, want: true, wantCode: 200, wantSave: saved},
		"namespace, no old object":     {edit: of("", "namespaces", "shop", "shop", ""), check: free, contents: two, wantCode: 500, wantText: "sent no object"},
		"namespace, finalize":          {reason: "a subresource deletes nothing", edit: both(namespace, func(r *admissionv1.AdmissionRequest) { r.SubResource = "finalize" }), check: inUse, contents: two, want: true, wantCode: 200},
		"definition, allowed":          {reason: "its instances are saved first", edit: definition, check: free, contents: two, want: true, wantCode: 200, wantSave: []string{"customresourcedefinitions.apiextensions.k8s.io /plans.billing.example delete eve", "plans.billing.example /gold delete eve", "plans.billing.example /silver delete eve"}, wantText: "saved 2 instances of customresourcedefinition plans.billing.example"},
		"definition, instances away":   {edit: definition, check: free, contents: two, storeErr: errors.New("away"), wantCode: 500, wantSave: []string{"plans.billing.example /gold delete eve", "plans.billing.example /silver delete eve"}, wantText: "could not save the instances of"},
		"definition, not listed":       {edit: definition, check: free, contents: unlisted, wantCode: 500, wantText: "list plans.billing.example: no answer"},
		"definition, best effort":      {profile: "    snapshot: bestEffort\n", edit: definition, check: free, contents: unlisted, want: true, wantCode: 200, wantSave: []string{"customresourcedefinitions.apiextensions.k8s.io /plans.billing.example delete eve"}, wantText: "could not save all instances"},
		"definition, dry-run":          {edit: both(definition, dryRun), check: free, contents: two, want: true, wantCode: 200},
		"definition, refused":          {edit: definition, check: inUse, wantCode: 403},
		"definition, collection":       {edit: both(definition, func(r *admissionv1.AdmissionRequest) { r.Name = "" }), check: inUse, wantCode: 403},
		"definition of something else": {edit: of("apiextensions.k8s.io", "customresourcedefinitions", "", "other.example", strings.ReplaceAll(crd, "plans.billing", "other")), check: inUse, want: true, wantCode: 200},
		"definition, mode of its kind": {profile: "    mode: audit\n", edit: definition, check: inUse, contents: none, want: true, wantCode: 200, wantSave: []string{"customresourcedefinitions.apiextensions.k8s.io /plans.billing.example delete eve"}},
		"definition, store away":       {edit: definition, check: free, contents: none, storeErr: errors.New("too large"), wantCode: 500, wantSave: []string{"customresourcedefinitions.apiextensions.k8s.io /plans.billing.example delete eve"}, wantText: "too large"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &saves{err: tc.storeErr}
			h := newHandler(t, tc.profile, tc.check, store)
			h.Contents = tc.contents
			got := h.Handle(t.Context(), request(tc.edit))
			if got.Allowed != tc.want || got.Result.Code != tc.wantCode {
				t.Errorf("allowed %v, code %d; want %v, %d (%s): %+v", got.Allowed, got.Result.Code, tc.want, tc.wantCode, tc.reason, got.Result)
			}
			slices.Sort(store.seen)
			if diff := cmp.Diff(tc.wantSave, store.seen); diff != "" {
				t.Errorf("saved (-want +got), %s:\n%s", tc.reason, diff)
			}
			text := strings.Join(strings.Fields(got.Result.Message+" "+strings.ReplaceAll(strings.Join(got.Warnings, " "), "holdfast: ", "")), " ")
			if !strings.Contains(text, tc.wantText) {
				t.Errorf("the answer does not hold %q: %s", tc.wantText, text)
			}
			if tc.wantText == "" && tc.want && tc.profile == "    mode: audit\n" && strings.Contains(text, "refused") {
				t.Errorf("audit mode tells the user: %s", text)
			}
		})
	}
}
