// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// APIVersion is the apiVersion of every object of this package.
	APIVersion = "holdfast.dev/v1alpha1"
	// GuardProfileKind is the kind of a GuardProfile.
	GuardProfileKind = "GuardProfile"

	// UndoMark is the annotation by which the admission webhook knows the
	// removal of finalizers by an undo; its value is the object's UID. It goes
	// with the object, and the one that is created again does not have it.
	UndoMark = "holdfast.dev/undo"
)

// GuardProfile says which resources of one system are guarded, what refers to
// them, and what is saved before they go. It is cluster-scoped. Profiles are
// read from files; the cluster has no CustomResourceDefinition for them.
//
// +kubebuilder:object:root=true
type GuardProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GuardProfileSpec `json:"spec"`
}

// GuardProfileSpec is the content of a GuardProfile.
type GuardProfileSpec struct {
	// Mode is what a refusal does; enforce when empty. A resource may set its own.
	Mode Mode `json:"mode,omitempty"`
	// RequireDistinctApprover asks that an approval's author and its user differ.
	RequireDistinctApprover bool `json:"requireDistinctApprover,omitempty"`
	// Resources are the guarded resources.
	Resources []GuardedResource `json:"resources"`
	// CRDs says how the CustomResourceDefinitions of the resources are guarded.
	CRDs *CRDGuard `json:"crds,omitempty"`
	// Namespaces says which namespaces may not be deleted.
	Namespaces *NamespaceGuard `json:"namespaces,omitempty"`
	// Operators are the programs that own and finalize the resources.
	Operators []Operator `json:"operators,omitempty"`
}

// Mode is what happens to a request that a rule refuses.
type Mode string

const (
	// ModeEnforce refuses the request.
	ModeEnforce Mode = "enforce"
	// ModeWarn lets it pass with the text of the refusal as warnings.
	ModeWarn Mode = "warn"
	// ModeAudit lets it pass silently and only counts, logs and annotates it.
	ModeAudit Mode = "audit"
)

// SnapshotPolicy says whether an object may go without having been saved.
type SnapshotPolicy string

const (
	// SnapshotRequired refuses the deletion of an object that cannot be saved.
	SnapshotRequired SnapshotPolicy = "required"
	// SnapshotBestEffort lets it go with a warning.
	SnapshotBestEffort SnapshotPolicy = "bestEffort"
	// SnapshotNone saves nothing.
	SnapshotNone SnapshotPolicy = "none"
)

// GuardedResource is one resource whose objects are guarded.
type GuardedResource struct {
	// Resource is RESOURCE.GROUP, in the plural, such as
	// servicetiers.cp.nuodb.com; the group of core resources is empty.
	Resource string `json:"resource"`
	// Mode overrides the profile's mode.
	Mode Mode `json:"mode,omitempty"`
	// Snapshot says whether an object must be saved before it goes; required when empty.
	Snapshot SnapshotPolicy `json:"snapshot,omitempty"`
	// Restore says how a saved object is brought back.
	Restore RestoreOptions `json:"restore,omitempty"`
	// ReferencedBy lists where other objects name objects of this resource.
	ReferencedBy []Reference `json:"referencedBy,omitempty"`
	// StoredRevisions says where objects of this resource keep older versions
	// of their own spec; the references of a version that is still pinned count.
	StoredRevisions *StoredRevisions `json:"storedRevisions,omitempty"`
	// Closure lists what belongs to the snapshot set of an object.
	Closure []Member `json:"closure,omitempty"`
	// Recoverable says when a deletion could not be recovered from.
	Recoverable []Recoverability `json:"recoverable,omitempty"`
	// Namespaces overrides the profile's namespace guard for this resource.
	Namespaces *NamespaceGuard `json:"namespaces,omitempty"`
}

// RestoreOptions says how objects of a resource are brought back.
type RestoreOptions struct {
	// Status replays .status through the status subresource.
	Status bool `json:"status,omitempty"`
	// Order is the place among several: lower comes first.
	Order int32 `json:"order,omitempty"`
}

// Reference is one place where objects of another resource name a guarded object.
type Reference struct {
	// Resource is RESOURCE.GROUP of the referrers.
	Resource string `json:"resource"`
	// Path is a kubectl JSONPath in the referrer. Each hit is an object
	// {name, namespace?, revision?}, or a string, which is the name. The
	// namespace defaults to the referrer's and is ignored for a cluster-scoped target.
	Path string `json:"path"`
}

// StoredRevisions says where an object keeps older versions of its own spec.
type StoredRevisions struct {
	// Path is a kubectl JSONPath to the list of revisions.
	Path string `json:"path"`
	// Number is the path, inside a revision, of the number that pins name.
	Number string `json:"number"`
	// Spec is the path, inside a revision, of the stored spec.
	Spec string `json:"spec"`
	// Encoding of the stored spec.
	Encoding RevisionEncoding `json:"encoding"`
}

// RevisionEncoding is how a stored spec is written.
type RevisionEncoding string

const (
	// EncodingJSON is a JSON object in place.
	EncodingJSON RevisionEncoding = "json"
	// EncodingBase64JSON is a string of base64-encoded JSON.
	EncodingBase64JSON RevisionEncoding = "base64json"
)
