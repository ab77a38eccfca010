// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	admissionv1 "k8s.io/api/admission/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// webhooks serve conversion and admission while the operator runs.
type webhooks struct {
	operator *Operator
	server   *httptest.Server
	running  atomic.Bool
}

func newWebhooks(o *Operator) *webhooks {
	w := &webhooks{operator: o}
	mux := http.NewServeMux()
	mux.HandleFunc("/convert", w.convert)
	mux.HandleFunc("/validate", w.admit(o.check))
	// The real one fills in defaults; what matters is that it is asked.
	mux.HandleFunc("/mutate", w.admit(func(context.Context, *admissionv1.AdmissionRequest) error { return nil }))
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.running.Load() {
			http.Error(rw, "the operator does not run", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	w.server.StartTLS()
	return w
}

// ca is the certificate that clients trust.
func (w *webhooks) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
}

func (w *webhooks) convert(rw http.ResponseWriter, r *http.Request) {
	var review apiextensionsv1.ConversionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	response := &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for _, raw := range review.Request.Objects {
		obj := map[string]any{}
		if err := json.Unmarshal(raw.Raw, &obj); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		obj["apiVersion"] = review.Request.DesiredAPIVersion
		text, err := json.Marshal(obj)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		response.ConvertedObjects = append(response.ConvertedObjects, runtime.RawExtension{Raw: text})
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(rw).Encode(review) // the API server sees a short answer
}

func (w *webhooks) admit(check func(context.Context, *admissionv1.AdmissionRequest) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		answer := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if err := check(r.Context(), review.Request); err != nil {
			answer.Allowed, answer.Result = false, &metav1.Status{Message: err.Error(), Code: http.StatusForbidden}
		}
		review.Request, review.Response = nil, answer
		_ = json.NewEncoder(rw).Encode(review) // the API server sees a short answer
	}
}

// check refuses an ingress without its Astarte, and whatever names a Secret for
// TLS that is not there (seen: 23.5.2).
func (o *Operator) check(ctx context.Context, request *admissionv1.AdmissionRequest) error {
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &obj.Object); err != nil {
		return err
	}
	if obj.GetDeletionTimestamp() != nil || request.Operation != admissionv1.Create {
		return nil
	}
	field := []string{"spec", "vernemq", "sslListenerCertSecretName"}
	if obj.GetKind() == "AstarteDefaultIngress" {
		astarte, _, _ := unstructured.NestedString(obj.Object, "spec", "astarte")
		_, err := o.Client.Resource(o.Shape.Astartes()).Namespace(request.Namespace).Get(ctx, astarte, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("spec.astarte: Not found: %q", astarte)
		}
		if err != nil {
			return err
		}
		field = []string{"spec", "tlsSecret"}
	}
	name, found, _ := unstructured.NestedString(obj.Object, field...)
	if !found {
		return nil
	}
	_, err := o.Kube.CoreV1().Secrets(request.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("%v: %w", field, err)
	}
	return nil
}
