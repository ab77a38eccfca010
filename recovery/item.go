// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// Item is one object of a plan.
type Item struct {
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Snapshot is what it comes back from. An undo makes sure of it when it runs.
	Snapshot string `json:"snapshot,omitempty"`
	Action   Action `json:"action"`
	// Reason says why an object is skipped or refused, and what to do instead.
	Reason string `json:"reason,omitempty"`
	// Steps are what will be done, in order.
	Steps []string `json:"steps,omitempty"`
	// Warnings are what will not be as it was.
	Warnings []string `json:"warnings,omitempty"`

	target  Target
	options v1alpha1.RestoreOptions
	uid     types.UID // of the saved object
	owners  []types.UID
	// snap is what it comes back from; an undo has it once it has saved the object.
	snap *snapshot.Snapshot
	// plan is the plan of a restore; nil in an undo.
	plan *Plan
	// later says that its kind is not there yet and comes back first.
	later bool
	// beforeOwner says that it comes back before its owner.
	beforeOwner bool
	// dead are owners that the object which is there names, and that are gone.
	dead []types.UID
	// before is what there is of it, after what it would become; both only
	// after a trial.
	before, after *unstructured.Unstructured
	// stale are snapshots of earlier versions whose journals are still open.
	stale []string
}

// ownedBy says that the item's object belongs to that of owner.
func (i *Item) ownedBy(owner *Item) bool {
	return owner.snap != nil && slices.Contains(i.owners, owner.uid)
}

func (i *Item) groupResource() schema.GroupResource { return schema.ParseGroupResource(i.Resource) }

// rank puts definitions before everything else.
func (i *Item) rank() int {
	if isDefinition(i.Resource) {
		return 0
	}
	return 1
}

// moved says that the item comes back in another namespace than its own.
func (i *Item) moved() bool { return i.snap != nil && i.Namespace != i.snap.Namespace }

// works says that there is something to do for the item.
func (i *Item) works() bool { return i.Action != ActionSkip && i.Action != ActionRefuse }

// knows notes what saved tells about the item's object.
func (i *Item) knows(saved *unstructured.Unstructured) {
	i.uid = saved.GetUID()
	for _, ref := range saved.GetOwnerReferences() {
		i.owners = append(i.owners, ref.UID)
	}
}

// newItem is the item of t.
func newItem(t Target) *Item {
	return &Item{Resource: t.resource(), Namespace: t.Namespace, Name: t.Name, target: t}
}

func (i *Item) skip(format string, args ...any) *Item {
	i.Action, i.Reason = ActionSkip, fmt.Sprintf(format, args...)
	return i
}

func (i *Item) refuse(format string, args ...any) *Item {
	i.Action, i.Reason = ActionRefuse, fmt.Sprintf(format, args...)
	return i
}

func (i *Item) warn(format string, args ...any) {
	i.Warnings = append(i.Warnings, fmt.Sprintf(format, args...))
}

// String names the item's object as messages do.
func (i *Item) String() string { return i.Resource + " " + joinName(i.Namespace, i.Name) }

// Before is the object that is there; nil if there is none.
func (i *Item) Before() *unstructured.Unstructured { return i.before }

// After is what the object would become; nil without a trial.
func (i *Item) After() *unstructured.Unstructured { return i.after }

// SnapshotPath is RESOURCE.GROUP/[NAMESPACE/]NAME/ID of the item's snapshot;
// of one that cannot be read, the ID.
func (i *Item) SnapshotPath() string {
	if i.snap == nil {
		return i.Snapshot
	}
	return i.snap.Path()
}
