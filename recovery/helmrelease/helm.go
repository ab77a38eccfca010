// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/holdfast-dev/holdfast/config/release"
)

// Helm brings releases back.
type Helm struct {
	Client dynamic.Interface
	Kube   kubernetes.Interface
	// Mapper is reset when definitions were created.
	Mapper meta.RESTMapperWithContext
	Now    func() time.Time
}

// State is what there is of a release.
type State string

const (
	// StateDeployed says that Helm takes it for installed.
	StateDeployed State = "deployed"
	// StateUninstalling says that an uninstallation began and did not end.
	StateUninstalling State = "uninstalling"
	// StateFailed says that its only installation failed.
	StateFailed State = "failed"
	// StatePending says that Helm is at work on it, or was stopped while it was.
	StatePending State = "pending"
	// StateGone says that Helm knows nothing of it.
	StateGone State = "gone"
)

// Presence is what there is of one object of a release.
type Presence string

const (
	// Missing objects are created.
	Missing Presence = "missing"
	// Present objects are applied again.
	Present Presence = "present"
	// Adopted objects are there and belong to no release, or to one that is
	// gone; they become the release's.
	Adopted Presence = "adopted"
	// Newer definitions have versions that the release does not know; only who
	// owns them is written.
	Newer Presence = "newer"
	// Going objects are Terminating; their end is awaited, then they are created.
	Going Presence = "terminating"
)

// Object is one object that is applied.
type Object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace,omitempty"`
	Name       string   `json:"name"`
	Presence   Presence `json:"presence"`
	// Hook is the event of a hook; hooks have no owner.
	Hook string `json:"hook,omitempty"`
	// Definition says that it is from the chart's crds folder, which Helm
	// installs once and does not own.
	Definition bool `json:"definition,omitempty"`

	object *unstructured.Unstructured
}

// String names the object as messages do.
func (o *Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func (o *Object) definition() bool {
	return o.Kind == "CustomResourceDefinition" && o.object.GroupVersionKind().Group == "apiextensions.k8s.io"
}

// Plan is how a release is brought back.
type Plan struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Revision  int    `json:"revision"`
	// Chart is its name and version, for people.
	Chart string `json:"chart,omitempty"`
	State State  `json:"state"`
	// Objects are what is applied, in this order.
	Objects []*Object `json:"objects"`
	// History is how many older revisions are put back, which 'helm rollback'
	// may need.
	History int `json:"history,omitempty"`
	// Notes are what will not be as it was.
	Notes []string `json:"notes,omitempty"`
	// Refused says why it cannot be brought back as things are, and what to do.
	Refused string `json:"refused,omitempty"`

	revision *release.Revision
	history  []*release.Revision
	live     *corev1.Secret // what there is of the revision's Secret
	hooks    []*hook
}

// Key names the release.
func (p *Plan) Key() release.Key { return release.Key{Namespace: p.Namespace, Name: p.Name} }

// Work counts what there is to do. A release that is deployed, with all of its
// objects, needs nothing.
func (p *Plan) Work() int {
	n := 0
	if p.State != StateDeployed {
		n++
	}
	for _, o := range p.Objects {
		if o.Presence != Present && o.Presence != Newer {
			n++
		}
	}
	return n
}

// Going are the objects that have to end before the release can come back.
func (p *Plan) Going() []*Object {
	var going []*Object
	for _, o := range p.Objects {
		if o.Presence == Going {
			going = append(going, o)
		}
	}
	return going
}

// ErrUnknown means that there is no record of a release, saved or live.
var ErrUnknown = errors.New("nothing is known of the Helm release")

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}
