// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/release"
)

// dropDeadMarks takes the marks of a Helm release off obj if there is no such
// release: Helm would refuse to install another that has the object. It says
// what it changed. A release that plan brings back counts as there.
func (r *Recovery) dropDeadMarks(ctx context.Context, plan *Plan, obj *unstructured.Unstructured) ([]string, error) {
	key, marked := release.Of(obj)
	if !marked || (plan.Release != nil && plan.Release.Key() == key) {
		return nil, nil
	}
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	found, err := r.Metadata.Resource(secrets).Namespace(key.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "owner=helm,name=" + key.Name, Limit: 1,
	})
	switch {
	case apierrors.IsForbidden(err):
		return []string{fmt.Sprintf("it keeps the marks of Helm release %s; whether that exists could not be looked up", key)}, nil
	case err != nil:
		return nil, fmt.Errorf("look up Helm release %s: %w", key, err)
	case len(found.Items) > 0:
		return nil, nil
	}
	annotations, labels := obj.GetAnnotations(), obj.GetLabels()
	delete(annotations, release.NameAnnotation)
	delete(annotations, release.NamespaceAnnotation)
	if labels["app.kubernetes.io/managed-by"] == "Helm" {
		delete(labels, "app.kubernetes.io/managed-by")
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	if len(labels) == 0 {
		labels = nil
	}
	obj.SetAnnotations(annotations)
	obj.SetLabels(labels)
	return []string{fmt.Sprintf("the marks of Helm release %s are dropped: there is no such release", key)}, nil
}
