// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// FuzzReview sends anything as a review. Whatever it is, the answer is a review
// inside an HTTP 200, and no deletion of a guarded object is allowed unsaved.
func FuzzReview(f *testing.F) {
	files, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captured reviews: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	valid, err := json.Marshal(admissionv1.AdmissionReview{Request: new(request(nil).AdmissionRequest)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	for _, text := range []string{"", "{}", "[]", "null", `{"request":null}`, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x","operation":"DELETE","resource":{"resource":"plans","group":"billing.example"},"oldObject":{"metadata":{"name":1}}}}`} {
		f.Add([]byte(text))
	}
	set := profiles(f, "    referencedBy: [{resource: subscriptions.billing.example, path: '{.spec.plan}'}]\n")
	metrics, err := NewMetrics(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		store := &saves{}
		h := &Handler{Profiles: set, Rules: []guard.Rule{free}, Snapshots: store, Metrics: metrics, Timeout: time.Minute}
		answer := serveReview(t, h, body)
		var review admissionv1.AdmissionReview
		if json.Unmarshal(body, &review) != nil || review.Request == nil || !answer.Allowed {
			return
		}
		r := review.Request
		_, guarded := set.Guarded(groupResource(admission.Request{AdmissionRequest: *r}))
		if guarded && r.Operation == admissionv1.Delete && r.SubResource == "" && (r.DryRun == nil || !*r.DryRun) && len(store.seen) == 0 {
			t.Errorf("allowed and not saved: %s", body)
		}
	})
}

func serveReview(t *testing.T, h admission.Handler, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	recorder := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/guard/x", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	(&admission.Webhook{Handler: h}).ServeHTTP(recorder, r)
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(recorder.Body).Decode(&review); err != nil || review.Response == nil || recorder.Code != http.StatusOK {
		t.Fatalf("answer %d is no review: %v", recorder.Code, err)
	}
	return review.Response
}
