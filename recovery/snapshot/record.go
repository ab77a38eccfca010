// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	// ErrNotFound means that there is no snapshot of that ID.
	ErrNotFound = errors.New("no such snapshot")
	// ErrDamaged means that a stored snapshot cannot be relied on.
	ErrDamaged = errors.New("snapshot cannot be used")
	// ErrTooLarge means that an object is larger than any API server takes.
	ErrTooLarge = errors.New("object is too large for a snapshot")
)

// Provenance says why an object is saved, and how it is to be brought back.
type Provenance struct {
	// Operation is what was about to happen: "delete", "undo", ...
	Operation string
	// User is who was about to do it.
	User string
	// RequestUID is the UID of the admission request, if there was one.
	RequestUID string
	// Profile is the GuardProfile that asked for the snapshot.
	Profile string
	// Reason is what the user gave as the reason, if anything.
	Reason string
	// Approval is the name of the DeletionApproval that let it pass, if one did.
	Approval string
	// CRDVersion is the resource version of the CustomResourceDefinition of the
	// object at that time, where it is known.
	CRDVersion string
	// State is what is known of the object, if that is more than Operation
	// tells: "attempted" for a delete or undo, else "kept".
	State State
	// Bypass says that the object went without Holdfast being asked.
	Bypass bool
	// Raw is the object's JSON byte for byte as it was received; without it the
	// object is encoded anew.
	Raw []byte
	// RestoreStatus says that .status is replayed through /status.
	RestoreStatus bool
	// RestoreOrder is the place among several that are restored: lower comes first.
	RestoreOrder int32
	// Journal, if set, becomes the journal of the snapshot in the same write,
	// whether the version is new or not.
	Journal *Journal
}

// Record is what is known of a snapshot without reading its payload.
type Record struct {
	// ID names the snapshot: 16 characters of a-z and 2-7.
	ID string `json:"id"`
	// Resource is RESOURCE.GROUP of the object.
	Resource   string    `json:"resource"`
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace,omitempty"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid"`
	// ResourceVersion is the object's, when it was saved first.
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Generation is the object's, when it was saved first.
	Generation int64 `json:"generation,omitempty"`
	// Terminating says that the object was already marked as deleted.
	Terminating bool      `json:"terminating,omitempty"`
	SavedAt     time.Time `json:"savedAt"`
	Operation   string    `json:"operation,omitempty"`
	User        string    `json:"user,omitempty"`
	RequestUID  string    `json:"requestUID,omitempty"`
	Profile     string    `json:"profile,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	// Approval is the DeletionApproval that let the operation pass.
	Approval string `json:"approval,omitempty"`
	// CRDVersion is the resource version of the object's definition.
	CRDVersion string `json:"crdVersion,omitempty"`
	// RestoreStatus and RestoreOrder are those of the Provenance.
	RestoreStatus bool  `json:"restoreStatus,omitempty"`
	RestoreOrder  int32 `json:"restoreOrder,omitempty"`
	// Size is the length of the object's JSON in bytes, and Stored that of what
	// is kept of it, compressed.
	Size   int `json:"size"`
	Stored int `json:"stored,omitempty"`
	// Chunks are the Secrets with what did not fit into the snapshot's own.
	Chunks []string `json:"chunks,omitempty"`

	// State is what has become of the object since, as far as is known.
	State State `json:"state,omitempty"`
	// StateAt is since when it is known.
	StateAt time.Time `json:"stateAt,omitzero"`
	// Bypass says that the object went without Holdfast being asked.
	Bypass bool `json:"bypass,omitempty"`
	// LastAttempt is the latest further request for which the same version
	// was to be saved, if there was one.
	LastAttempt *Attempt `json:"lastAttempt,omitempty"`
	// Journal is how far a recovery from this snapshot has come, if one began.
	Journal *Journal `json:"journal,omitempty"`
	// Pin says that the snapshot is to stay, whatever its age.
	Pin *Pin `json:"pin,omitempty"`
	// Set is the set that was taken with it, and Partly why its object could be
	// brought back only partly from that; both are known only to whoever saved it.
	Set    string   `json:"-"`
	Partly []string `json:"-"`
	// Problem says why the snapshot cannot be used, if that can be seen
	// without the payload; the other fields may then be empty.
	Problem string `json:"problem,omitempty"`
}

// Attempt is one request for which a version was saved.
type Attempt struct {
	Operation  string `json:"operation,omitempty"`
	User       string `json:"user,omitempty"`
	RequestUID string `json:"requestUID,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Approval   string `json:"approval,omitempty"`
	// ResourceVersion is the object's at that time: a change that was taken back
	// leaves the same content with another one.
	ResourceVersion string    `json:"resourceVersion,omitempty"`
	At              time.Time `json:"at"`
}

// Snapshot is a snapshot with its payload, verified.
type Snapshot struct {
	Record
	// Object is the saved object as it was received, nothing removed.
	Object *unstructured.Unstructured
	// Raw is its JSON, byte for byte.
	Raw []byte
}

// GroupResource is the resource of the object.
func (r *Record) GroupResource() schema.GroupResource { return schema.ParseGroupResource(r.Resource) }

// LastBy is the user of the latest request that concerned this version.
func (r *Record) LastBy() string {
	if r.LastAttempt != nil && r.LastAttempt.At.After(r.SavedAt) {
		return r.LastAttempt.User
	}
	return r.User
}

// LastAt is the time of the latest request that concerned this version.
func (r *Record) LastAt() time.Time {
	if r.LastAttempt != nil && r.LastAttempt.At.After(r.SavedAt) {
		return r.LastAttempt.At
	}
	return r.SavedAt
}

// Path is RESOURCE.GROUP/[NAMESPACE/]NAME/ID, as scripts hand it on; of a
// record that cannot be read, the ID is all there is.
func (r *Record) Path() string {
	switch {
	case r.Resource == "":
		return r.ID
	case r.Namespace == "":
		return fmt.Sprintf("%s/%s/%s", r.Resource, r.Name, r.ID)
	}
	return fmt.Sprintf("%s/%s/%s/%s", r.Resource, r.Namespace, r.Name, r.ID)
}

// newRecord is the record of obj. The ID is filled in by whoever knows the key.
func newRecord(gr schema.GroupResource, obj *unstructured.Unstructured, p Provenance) Record {
	return Record{
		Resource:        gr.String(),
		APIVersion:      obj.GetAPIVersion(),
		Kind:            obj.GetKind(),
		Namespace:       obj.GetNamespace(),
		Name:            obj.GetName(),
		UID:             obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(),
		Generation:      obj.GetGeneration(),
		Terminating:     obj.GetDeletionTimestamp() != nil,
		Operation:       p.Operation,
		User:            p.User,
		RequestUID:      p.RequestUID,
		Profile:         p.Profile,
		Reason:          p.Reason,
		Approval:        p.Approval,
		CRDVersion:      p.CRDVersion,
		RestoreStatus:   p.RestoreStatus,
		RestoreOrder:    p.RestoreOrder,
	}
}
