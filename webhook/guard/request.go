// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Request is one deletion that somebody asks for, or one removal of finalizers
// from what is being deleted.
type Request struct {
	// Guarded tells how the resource is guarded.
	Guarded *profile.Guarded
	// Old is the object as it is now. Its name and namespace are the target:
	// those of the admission request are empty for a collection.
	Old *unstructured.Unstructured
	// New is the object without the finalizers that are to be removed; nil for
	// a deletion.
	New *unstructured.Unstructured
	// User is the name of whoever asks.
	User string
}

// Target is the object that would go.
func (r Request) Target() Target {
	return Target{Resource: r.Guarded.Resource, Kind: r.Old.GetKind(), Namespace: r.Old.GetNamespace(), Name: r.Old.GetName()}
}

// Marked says that the request bears the mark of an undo: it sets it to the
// object's UID, where it was not before.
func (r Request) Marked() bool {
	uid := string(r.Old.GetUID())
	return r.New != nil && uid != "" && r.New.GetAnnotations()[v1alpha1.UndoMark] == uid && r.Old.GetAnnotations()[v1alpha1.UndoMark] != uid
}

// Target names an object.
type Target struct {
	Resource schema.GroupResource
	// Kind is for messages alone.
	Kind string
	// Namespace is empty for a cluster-scoped object.
	Namespace, Name string
}

// Verdict is the answer of a rule.
type Verdict struct {
	Denied bool
	// Rule is the name of the rule that denies.
	Rule string
	// Message says in one line what was refused, because of whom, and what to do next.
	Message string
	// Warning, of a verdict that denies nothing, is what the user should know.
	Warning string
	// Mode, if set, is that of what stands against the request, where this is
	// not the object itself.
	Mode v1alpha1.Mode
	// Causes are the single reasons, for programs.
	Causes []Cause
}

// Cause is one reason of a denial.
type Cause struct {
	// Object is the object that stands against it, such as
	// "database tenant-b/pinned".
	Object string
	// Field is where it does so: the path of a reference.
	Field string
}

// Rule decides about one kind of risk. An error means that it could not decide.
type Rule interface {
	Check(ctx context.Context, r Request) (Verdict, error)
}
