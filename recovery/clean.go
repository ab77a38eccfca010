// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// systemFields are the fields of metadata that the API server writes. On
// creation it ignores most of them, refuses a resourceVersion, and keeps
// managedFields although they describe writes to another object.
func systemFields() []string {
	return []string{
		"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
		"deletionGracePeriodSeconds", "selfLink", "managedFields",
	}
}

// passingFinalizers belong to the deletion that is being undone, not to the object.
func passingFinalizers() []string {
	return []string{metav1.FinalizerDeleteDependents, metav1.FinalizerOrphanDependents}
}

// Clean is saved as it is to be created again, and its status apart. Finalizers
// of its product stay; ownerReferences stay as they are and are for the caller
// to check. saved is not changed.
func Clean(saved *unstructured.Unstructured) (obj *unstructured.Unstructured, status any) {
	obj = saved.DeepCopy()
	for _, field := range systemFields() {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	status = obj.Object["status"]
	delete(obj.Object, "status")
	finalizers := slices.DeleteFunc(obj.GetFinalizers(), func(f string) bool { return slices.Contains(passingFinalizers(), f) })
	if len(finalizers) == 0 {
		finalizers = nil // no field is better than an empty one
	}
	obj.SetFinalizers(finalizers)
	annotations := obj.GetAnnotations()
	delete(annotations, v1alpha1.UndoMark)
	if polluted(annotations[corev1.LastAppliedConfigAnnotation]) {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	obj.SetAnnotations(annotations)
	return obj, status
}

// polluted says that lastApplied was written from an exported object: it
// names the uid or version of an object, and with it the next 'kubectl apply'
// of the object's own manifest would fail.
func polluted(lastApplied string) bool {
	var applied struct {
		Metadata map[string]any `json:"metadata"`
	}
	if json.Unmarshal([]byte(lastApplied), &applied) != nil {
		return false
	}
	return applied.Metadata["uid"] != nil || applied.Metadata["resourceVersion"] != nil
}
