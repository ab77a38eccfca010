// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

func TestDanglingHandler(t *testing.T) {
	t.Parallel()
	const object = `{"apiVersion":"billing.example/v1","kind":"Subscription","metadata":{"name":"a"},"spec":{"plan":"gone","next":"slow"}}`
	want := []string{
		"holdfast: subscription shop/a names plan shop/gone in {.spec.plan}, which does not exist.",
		"holdfast: Create it, or correct the name.",
	}
	for name, tc := range map[string]struct {
		edit func(*admissionv1.AdmissionRequest)
		want []string
	}{
		"create":      {want: want},
		"update":      {edit: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }, want: want},
		"dry-run":     {edit: dryRun, want: want},
		"delete":      {edit: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete }},
		"connect":     {edit: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect }},
		"subresource": {edit: func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" }},
		"no object":   {edit: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil }},
		"cut off":     {edit: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(object[:40]) }},
		"other kind":  {edit: func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "invoices" }},
		"a list":      {edit: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`[]`) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			presence := guard.PresenceFunc(func(ctx context.Context, target guard.Target) (guard.State, error) {
				if target.Name == "slow" {
					<-ctx.Done() // what is found by then must still be said
					return guard.State{}, ctx.Err()
				}
				return guard.State{Kind: "Plan"}, nil
			})
			set := profiles(t, "    referencedBy:\n    - {resource: subscriptions.billing.example, path: '{.spec.plan}'}\n    - {resource: subscriptions.billing.example, path: '{.spec.next}'}\n")
			metrics, err := NewMetrics(nil)
			if err != nil {
				t.Fatal(err)
			}
			h := &DanglingHandler{Metrics: metrics, Rule: guard.Dangling{Presence: presence, Profiles: set}, Timeout: 20 * time.Millisecond}
			r := admissionv1.AdmissionRequest{
				UID: "r-1", Operation: admissionv1.Create, Namespace: "shop", Name: "a",
				Resource: metav1.GroupVersionResource{Group: "billing.example", Version: "v1", Resource: "subscriptions"},
				Object:   runtime.RawExtension{Raw: []byte(object)},
			}
			if tc.edit != nil {
				tc.edit(&r)
			}
			got := h.Handle(t.Context(), admission.Request{AdmissionRequest: r})
			if !got.Allowed || got.Result.Code != 200 {
				t.Errorf("answer = %+v, want it allowed", got)
			}
			if diff := cmp.Diff(tc.want, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			for _, w := range got.Warnings {
				if len(w) > 256 || strings.Contains(w, "\n") {
					t.Errorf("the API server would cut %q", w)
				}
			}
		})
	}
}
