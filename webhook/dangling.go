// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// DanglingHandler warns about references to guarded objects that do not exist
// or are being deleted, when an object with such references is created or
// changed. It allows whatever it is asked, also what it cannot read.
type DanglingHandler struct {
	Rule    guard.Dangling
	Metrics *Metrics
	// Timeout bounds the search. The warnings found by then are given.
	Timeout time.Duration
}

var _ admission.Handler = (*DanglingHandler)(nil)

// Handle implements admission.Handler.
func (h *DanglingHandler) Handle(ctx context.Context, req admission.Request) admission.Response {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	log := logf.FromContext(ctx)
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update || req.SubResource != "" {
		return allow()
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(req.Object.Raw); err != nil {
		log.V(1).Info("References not looked at: the object cannot be decoded", "why", err.Error())
		return allow()
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(req.Namespace)
	}
	sentences, err := h.Rule.Warnings(ctx, groupResource(req), object)
	if err != nil {
		log.V(1).Info("Not all references could be looked at", "why", err.Error())
	}
	var warnings []string
	for _, sentence := range sentences {
		warnings = append(warnings, asWarnings(sentence)...)
	}
	if len(warnings) > 0 {
		h.Metrics.dangling.Add(float64(len(sentences)))
		log.V(1).Info("References lead to nothing", "warnings", warnings)
	}
	return allow(warnings...)
}
