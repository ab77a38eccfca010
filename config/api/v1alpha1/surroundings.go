// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Member is one kind of object that belongs to the snapshot set of a guarded
// object. Exactly one of OwnedBy true, Path, Referring, NamePrefix, Name and
// ReleaseOf selects it.
type Member struct {
	// Resource is RESOURCE.GROUP of the members.
	Resource string `json:"resource"`
	// OwnedBy takes the objects whose ownerReferences carry the object's UID.
	OwnedBy bool `json:"ownedBy,omitempty"`
	// Path takes the objects that a kubectl JSONPath in the guarded object names.
	Path string `json:"path,omitempty"`
	// Referring takes the objects in which this path names the guarded object.
	Referring string `json:"referring,omitempty"`
	// NamePrefix takes the objects of the same namespace whose names begin
	// with this text, in which kubectl JSONPaths are filled in.
	NamePrefix string `json:"namePrefix,omitempty"`
	// Name takes the one object of this name, in which kubectl JSONPaths are
	// filled in; of the object's own namespace, if it has one.
	Name string `json:"name,omitempty"`
	// ReleaseOf takes the Secrets in which Helm keeps the release that owns this
	// CustomResourceDefinition, RESOURCE.GROUP; they hold its manifest and hooks.
	ReleaseOf string `json:"releaseOf,omitempty"`
	// NamesOnly records that they exist and does not save their content.
	NamesOnly bool `json:"namesOnly,omitempty"`
	// BeforeOwner restores what is owned before its owner, without the
	// reference to it: for what an operator would make anew, and other, as soon
	// as it finds the owner without it. Only with ownedBy.
	BeforeOwner bool `json:"beforeOwner,omitempty"`
}

// Recoverability is one reason why a deletion could not be recovered from.
type Recoverability struct {
	// Unless is a CEL expression over object; false means not recoverable.
	Unless string `json:"unless"`
	// Because is the reason, as people are told it.
	Because string `json:"because"`
}

// CRDGuard says how the CustomResourceDefinitions of guarded resources are guarded.
type CRDGuard struct {
	// BlockWhileInstancesExist refuses their deletion while instances exist; true when absent.
	BlockWhileInstancesExist *bool `json:"blockWhileInstancesExist,omitempty"`
}

// NamespaceGuard says which namespaces may not be deleted.
type NamespaceGuard struct {
	// BlockWhileHolding is what a namespace must hold to be guarded; inUse when empty.
	BlockWhileHolding Holding `json:"blockWhileHolding,omitempty"`
}

// Holding is what a namespace holds.
type Holding string

const (
	// HoldingInUse is a guarded object that something refers to.
	HoldingInUse Holding = "inUse"
	// HoldingAny is any guarded object.
	HoldingAny Holding = "any"
	// HoldingNever leaves namespaces unguarded.
	HoldingNever Holding = "never"
)

// Operator is a program that owns and finalizes guarded objects.
type Operator struct {
	// Release is the installation that is fenced while instances exist.
	Release *Release `json:"release,omitempty"`
	// ServiceAccounts are further identities of the operator.
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
	// RequiredFor are resources whose deletion is refused while the operator is away.
	RequiredFor []string `json:"requiredFor,omitempty"`
	// DenyDeletes are deletions by the operator itself that are refused.
	DenyDeletes []DeniedDelete `json:"denyDeletes,omitempty"`
}

// Release names an installation by what it owns.
type Release struct {
	// OfCRDs are CustomResourceDefinitions, RESOURCE.GROUP, that the release owns.
	OfCRDs []string `json:"ofCRDs,omitempty"`
	// Objects are the objects of an installation that no release tool tracks.
	Objects []ReleaseObject `json:"objects,omitempty"`
}

// ReleaseObject is one object of an installation.
type ReleaseObject struct {
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// ServiceAccount names a ServiceAccount.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// DeniedDelete is a deletion that the operator itself may not make.
type DeniedDelete struct {
	Resource string `json:"resource"`
	// NamePrefix limits it to names that begin with this text, in which kubectl
	// JSONPaths are filled in with the profile's objects of the same namespace.
	NamePrefix string `json:"namePrefix,omitempty"`
}
