// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
)

const (
	// Operation is what the journal calls it.
	Operation = "rescue"

	fieldManager = "holdfast"
	// maintenance is the field below spec that keeps the operator away.
	maintenance = "manualMaintenanceMode"
)

// Astartes is the resource that this package is about.
func Astartes() schema.GroupResource {
	return schema.GroupResource{Group: "api.astarte-platform.org", Resource: "astartes"}
}

var (
	definitions = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

	// ErrNotTerminating means that a named Astarte is there and well.
	ErrNotTerminating = errors.New("it is not Terminating")
	// ErrGone means that a named Astarte is not there, and no rescue of it has begun.
	ErrGone = errors.New("it does not exist, and no rescue of it was interrupted")
)

// Operator brings the operator of the Astartes back.
type Operator interface {
	// Steps say what it is going to do for the release, a line each.
	Steps(ctx context.Context, r release.Key) ([]string, error)
	// BringBack makes the operator's objects exist, its definitions among them.
	// It may be called again after it was interrupted anywhere.
	BringBack(ctx context.Context, r release.Key) error
}

// Rescue rescues Astartes.
type Rescue struct {
	Recovery *recovery.Recovery
	Journals *journal.Keeper
	Operator Operator
	// Fresh is the recovery with nothing remembered of what the API server
	// serves, for when that has changed.
	Fresh func(context.Context) (*recovery.Recovery, error)
	// Tell is told of everything that happens. It must not block.
	Tell func(Event)
	// Recorded, if set, is told of each record of the journal once it is written.
	Recorded func(record, what string)
}

// Event is one thing that happens in a rescue.
type Event struct {
	// Step is the step that it happens in.
	Step string
	// Text is for people. With Waited, it is what is waited for.
	Text string
	// Waited is for how long that is being waited for already; zero if nothing is.
	Waited time.Duration
	// Warning says that something is not as it should be.
	Warning bool
}

func (r *Rescue) say(step, text string) { r.Tell(Event{Step: step, Text: text}) }
func (r *Rescue) warn(step, text string) {
	r.Tell(Event{Step: step, Text: text, Warning: true})
}

// patient is one Astarte, as the journal remembers it.
type patient struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	// Object is as it was before anything was done to it, in a version in which
	// it could be read.
	Object *unstructured.Unstructured `json:"object"`
	// Mode is spec.manualMaintenanceMode as it was; null when it was not set.
	Mode json.RawMessage `json:"mode"`
	// Snapshot is the ID of its snapshot, Referrers those of what is created
	// after it; empty without a store.
	Snapshot  string   `json:"snapshot,omitempty"`
	Referrers []string `json:"referrers,omitempty"`
	// Dependents are the objects that belong to it, which must not change.
	Dependents []recovery.Dependent `json:"dependents,omitempty"`
	// Secrets are its own Secrets where there is no store to save them to.
	Secrets []*unstructured.Unstructured `json:"secrets,omitempty"`
}

// String names it as steps and messages do.
func (p *patient) String() string { return p.Namespace + "/" + p.Name }

// ward is what is rescued at once: the Astartes of one definition.
type ward struct {
	Patients []*patient `json:"patients"`
	// Definition is the UID of the definition, and Going says that it was Terminating.
	Definition types.UID   `json:"definition"`
	Going      bool        `json:"going"`
	Release    release.Key `json:"release,omitzero"`
	// Stuck are the other definitions that have to go before the operator comes back.
	Stuck []*stuck `json:"stuck,omitempty"`
}

func (w *ward) named(namespace, name string) *patient {
	for _, p := range w.Patients {
		if p.Namespace == namespace && p.Name == name {
			return p
		}
	}
	return nil
}

func (r *Rescue) astartes(version, namespace string) dynamic.ResourceInterface {
	return r.Recovery.Client.Resource(Astartes().WithVersion(version)).Namespace(namespace)
}

// client is for the patient in the version in which it was read.
func (r *Rescue) client(p *patient) dynamic.ResourceInterface {
	return r.astartes(p.Object.GroupVersionKind().Version, p.Namespace)
}
