// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/release"
)

// What tools leave on the objects of an installation.
const (
	// managedBy with the value Helm is on every object that Helm has made, and
	// unlike its annotations a list can be selected by it.
	managedBy     = "app.kubernetes.io/managed-by"
	managedByHelm = "Helm"
	// argoTracking is APPLICATION:GROUP/KIND:NAMESPACE/NAME, where the namespace
	// of a cluster-scoped object is that of the application's destination.
	argoTracking = "argocd.argoproj.io/tracking-id"
	// argoLabel and instanceLabel hold the application's name, the second one
	// unless Argo CD was told otherwise.
	argoLabel     = "argocd.argoproj.io/instance"
	instanceLabel = "app.kubernetes.io/instance"
)

// owner is the installation that an object belongs to.
type owner struct {
	// tool is what messages call it.
	tool string
	// namespace is where its objects are; empty when that is not known.
	namespace, name string
	// selector finds the objects that may be its own.
	selector string
}

func (o owner) String() string {
	if o.tool == toolHelm {
		return o.tool + " " + o.namespace + "/" + o.name
	}
	return o.tool + " " + o.name
}

const (
	toolHelm = "Helm release"
	toolArgo = "Argo CD application"
	// toolAny is by a label that is not Argo CD's alone.
	toolAny = "installation"
)

// ownerOf reads the marks of Helm and Argo CD. Charts set the label of the
// instance as well, so it counts only without those of Helm.
func ownerOf(o metav1.Object) (owner, bool) {
	annotations, labels := o.GetAnnotations(), o.GetLabels()
	if key, ok := release.Of(o); ok {
		return owner{tool: toolHelm, namespace: key.Namespace, name: key.Name, selector: managedBy + "=" + managedByHelm}, true
	}
	if name, rest, ok := strings.Cut(annotations[argoTracking], ":"); ok && name != "" {
		_, object, _ := strings.Cut(rest, ":")
		namespace, _, _ := strings.Cut(object, "/")
		return owner{tool: toolArgo, namespace: namespace, name: name}, true
	}
	if name := labels[argoLabel]; name != "" {
		return owner{tool: toolArgo, name: name, selector: argoLabel + "=" + name}, true
	}
	if name := labels[instanceLabel]; name != "" {
		return owner{tool: toolAny, name: name, selector: instanceLabel + "=" + name}, true
	}
	return owner{}, false
}

// owns tells whether object is one of the installation.
func (o owner) owns(object metav1.Object) bool {
	other, ok := ownerOf(object)
	return ok && other.tool == o.tool && other.name == o.name && (o.tool != toolHelm || other.namespace == o.namespace)
}
