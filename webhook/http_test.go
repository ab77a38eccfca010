// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// What arrives over HTTP but is no review must be answered by a refusal inside
// an HTTP 200: an HTTP error lets entries with failurePolicy Ignore pass.
func TestBodies(t *testing.T) {
	t.Parallel()
	review := func(request string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":` + request + `}`
	}
	for name, tc := range map[string]struct {
		body        string
		contentType string
		wantCode    int32
	}{
		"empty":            {body: "", wantCode: 400},
		"no JSON":          {body: "delete it", wantCode: 400},
		"cut off":          {body: review(`{"uid":"x"`)[:70], wantCode: 400},
		"another kind":     {body: `{"apiVersion":"v1","kind":"Pod"}`, wantCode: 400},
		"a list":           {body: "[]", wantCode: 400},
		"wrong media type": {body: review("{}"), contentType: "text/plain", wantCode: 400},
		"too large":        {body: review(`{"uid":"` + strings.Repeat("x", 8<<20) + `"}`), wantCode: 413},
		"wrong types":      {body: review(`{"uid":5}`), wantCode: 400},
		"no old object": {
			body:     review(`{"uid":"x","operation":"DELETE","resource":{"group":"billing.example","version":"v1","resource":"plans"},"name":"gold"}`),
			wantCode: 500,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &saves{}
			answer := post(t, newHandler(t, "", free, store), tc.body, tc.contentType)
			if answer.Allowed || answer.Result == nil || answer.Result.Code != tc.wantCode {
				t.Errorf("answer = %+v, want refusal %d", answer, tc.wantCode)
			}
			if answer.Result == nil || answer.Result.Message == "" {
				t.Error("the refusal says nothing")
			}
			if len(store.seen) > 0 {
				t.Errorf("saved %v", store.seen)
			}
		})
	}
}

// A rule that panics must neither end the process nor allow.
func TestPanic(t *testing.T) {
	t.Parallel()
	panics := rule(func(guard.Request) (guard.Verdict, error) { panic("a bug") })
	body, err := json.Marshal(admissionv1.AdmissionReview{Request: new(request(nil).AdmissionRequest)})
	if err != nil {
		t.Fatal(err)
	}
	if answer := post(t, newHandler(t, "", panics, &saves{}), string(body), ""); answer.Allowed {
		t.Errorf("answer = %+v", answer)
	}
}

func post(t *testing.T, h *Handler, body, contentType string) *admissionv1.AdmissionResponse {
	t.Helper()
	if contentType == "" {
		contentType = "application/json"
	}
	server := httptest.NewServer(&admission.Webhook{Handler: h})
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Errorf("HTTP status %d, want 200", response.StatusCode)
	}
	review := admissionv1.AdmissionReview{}
	if err := json.NewDecoder(response.Body).Decode(&review); err != nil {
		t.Fatal(err)
	}
	return review.Response
}
