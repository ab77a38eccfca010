// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook"
)

// secrets is an API server that takes Secrets and gives each back as it came.
func secrets(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		key := base64.StdEncoding.EncodeToString(make([]byte, 32))
		_, _ = fmt.Fprintf(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":%q},"data":{"key":%q}}`, snapshot.KeySecret, key)
		return
	}
	secret, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(secret)
}

// review is the question about the deletion of the nth tier, of some 2.5 KB.
func review(n int) []byte {
	object := fmt.Appendf(nil, `{"apiVersion":"cp.nuodb.com/v1beta1","kind":"ServiceTier","metadata":{"name":"t%[1]d","namespace":"cp","uid":"u%[1]d","resourceVersion":"%[1]d","generation":1},"spec":{"text":%[2]q}}`, n, strings.Repeat("0123456789abcdef ", 140))
	body, _ := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: types.UID(fmt.Sprint("r", n)), Operation: admissionv1.Delete, Name: fmt.Sprint("t", n), Namespace: "cp",
			Kind:     metav1.GroupVersionKind{Group: "cp.nuodb.com", Version: "v1beta1", Kind: "ServiceTier"},
			Resource: metav1.GroupVersionResource{Group: "cp.nuodb.com", Version: "v1beta1", Resource: "servicetiers"},
			UserInfo: authenticationv1.UserInfo{Username: "alice"}, OldObject: runtime.RawExtension{Raw: object},
		},
	})
	return body
}

// BenchmarkAdmission is what Holdfast itself does for a deletion that is saved
// and allowed, from the review's bytes to the answer's. The API server that its
// one write goes to is only an echo.
func BenchmarkAdmission(b *testing.B) {
	logf.SetLogger(logr.Discard())
	server := httptest.NewServer(http.HandlerFunc(secrets))
	b.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: -1}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		b.Fatal(err)
	}
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", time.Now)
	if err != nil {
		b.Fatal(err)
	}
	p, err := profile.Builtin("nuodb")
	if err != nil {
		b.Fatal(err)
	}
	set, err := profile.NewSet(p)
	if err != nil {
		b.Fatal(err)
	}
	metrics, err := webhook.NewMetrics(nil)
	if err != nil {
		b.Fatal(err)
	}
	answer := &admission.Webhook{Handler: &webhook.Handler{Profiles: set, Snapshots: store, Metrics: metrics, Timeout: time.Minute}}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(review(n)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		answer.ServeHTTP(w, r)
		if !bytes.Contains(w.Body.Bytes(), []byte(`"allowed":true`)) {
			b.Fatalf("answer = %s", w.Body)
		}
	}
}
