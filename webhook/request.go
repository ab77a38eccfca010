// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// The identities under which the control plane cleans up. What they delete has
// been decided before: refusing it leaves a half-deleted namespace behind for good.
const (
	namespaceController = "system:serviceaccount:kube-system:namespace-controller"
	controllerManager   = "system:kube-controller-manager"
)

func isCleanUp(user string) bool { return user == namespaceController || user == controllerManager }

func groupResource(req admission.Request) schema.GroupResource {
	return schema.GroupResource{Group: req.Resource.Group, Resource: req.Resource.Resource}
}

func isDryRun(req admission.Request) bool { return ptr.Deref(req.DryRun, false) }

var errNoOldObject = errors.New("the API server sent no object with the request, so what would go is unknown")

// oldObject is the object as it is now, exactly as it was sent. Its name is
// taken from it alone: a collection's request carries none.
func oldObject(req admission.Request) (*unstructured.Unstructured, error) {
	if len(req.OldObject.Raw) == 0 || string(req.OldObject.Raw) == "null" {
		return nil, errNoOldObject
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(req.OldObject.Raw); err != nil {
		return nil, fmt.Errorf("decode the object to be deleted: %w", err)
	}
	if obj.GetName() == "" || obj.GetUID() == "" {
		return nil, errors.New("the object to be deleted has no name or no uid")
	}
	// The request for a Namespace names it in both places; the object has no namespace.
	namespace := obj.GetNamespace()
	if namespace == "" && req.Namespace == obj.GetName() {
		namespace = req.Namespace
	}
	if req.Name != "" && req.Name != obj.GetName() || req.Namespace != namespace {
		return nil, fmt.Errorf("the request is about %q, the object sent with it is %q",
			req.Namespace+"/"+req.Name, obj.GetNamespace()+"/"+obj.GetName())
	}
	return obj, nil
}

// objectName is the name of the object that the request is about, also for a
// collection; empty when there is no telling.
func objectName(req admission.Request) string {
	if req.Name != "" {
		return req.Name
	}
	var old metav1.PartialObjectMetadata
	if err := json.Unmarshal(req.OldObject.Raw, &old); err != nil {
		return ""
	}
	return old.Name
}

// isDelete tells whether the request would delete an object itself.
func isDelete(req admission.Request) bool {
	return req.Operation == admissionv1.Delete && req.SubResource == ""
}
