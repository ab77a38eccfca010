// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// masked stands for the values of a Secret.
const masked = "***"

func isSecret(obj *unstructured.Unstructured) bool {
	return obj != nil && obj.GroupVersionKind().Group == "" && obj.GetKind() == "Secret"
}

// mask hides the values of a Secret, and says whether it had to.
func mask(obj *unstructured.Unstructured) bool {
	if !isSecret(obj) {
		return false
	}
	for _, field := range []string{"data", "stringData"} {
		if _, ok := obj.Object[field]; !ok {
			continue
		}
		values, ok := obj.Object[field].(map[string]any)
		if !ok {
			obj.Object[field] = masked // of no known shape
			continue
		}
		for key := range values {
			values[key] = masked
		}
	}
	annotations := obj.GetAnnotations()
	if _, ok := annotations[corev1.LastAppliedConfigAnnotation]; ok {
		annotations[corev1.LastAppliedConfigAnnotation] = masked
		obj.SetAnnotations(annotations)
	}
	return true
}

// secretField says that the field of a Secret at path, as a comparison writes
// it, is one that mask hides.
func secretField(path string) bool {
	for _, field := range []string{".data", ".stringData"} {
		if rest, ok := strings.CutPrefix(path, field); ok && (rest == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "[")) {
			return true
		}
	}
	return path == `.metadata.annotations["`+corev1.LastAppliedConfigAnnotation+`"]`
}
