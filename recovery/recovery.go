// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	// OperationUndo is a plan that brings back what is Terminating.
	OperationUndo = "undo"
	// OperationRestore is a plan that brings back what is gone.
	OperationRestore = "restore"

	fieldManager = "holdfast"
)

// resources tells which resources and subresources the API server has.
type resources interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
	ServerPreferredResourcesWithContext(ctx context.Context) ([]*metav1.APIResourceList, error)
}

// Recovery brings objects back.
type Recovery struct {
	Client    dynamic.Interface
	Metadata  metadata.Interface
	Mapper    meta.RESTMapperWithContext
	Discovery resources
	Snapshots *snapshot.Store
	// Profiles says how the objects of a resource are brought back.
	Profiles *profile.Set
	// User is who does it, for the records.
	User string
	Now  func() time.Time
}

// Target is one object that is to be brought back.
type Target struct {
	Mapping   *meta.RESTMapping
	Namespace string // empty for a cluster-scoped object
	Name      string
}

// String names the object as messages do.
func (t Target) String() string {
	return t.resource() + " " + joinName(t.Namespace, t.Name)
}

func (t Target) resource() string { return t.Mapping.Resource.GroupResource().String() }

func joinName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// client is the client for the objects of t's resource in t's namespace.
func (r *Recovery) client(t Target) dynamic.ResourceInterface {
	return r.clientFor(t.Mapping, t.Namespace)
}

func (r *Recovery) clientFor(mapping *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return r.Client.Resource(mapping.Resource).Namespace(namespace)
	}
	return r.Client.Resource(mapping.Resource)
}

// Action is what a plan does with one object.
type Action string

const (
	// ActionUndo takes the finalizers of a Terminating object away and creates it again.
	ActionUndo Action = "undo"
	// ActionCreate creates an object that is gone.
	ActionCreate Action = "create"
	// ActionFinish completes what an interrupted run has created.
	ActionFinish Action = "finish"
	// ActionRescue brings a Terminating object back without losing what belongs to it.
	ActionRescue Action = "rescue"
	// ActionSkip leaves alone an object for which there is nothing to do.
	ActionSkip Action = "skip"
	// ActionRefuse leaves alone an object that cannot be brought back as things are.
	ActionRefuse Action = "refuse"
)

// Plan is what a recovery is going to do, in this order.
type Plan struct {
	Operation string  `json:"operation"`
	Items     []*Item `json:"items"`
}

// Work counts the items for which there is something to do.
func (p *Plan) Work() int {
	n := 0
	for _, item := range p.Items {
		if item.works() {
			n++
		}
	}
	return n
}

// brings says that p brings the named object back.
func (p *Plan) brings(gr schema.GroupResource, namespace, name string) bool {
	return slices.ContainsFunc(p.Items, func(i *Item) bool {
		return i.works() && i.Resource == gr.String() && i.Namespace == namespace && i.Name == name
	})
}

// bringsOwner says that p brings the object back to which ref refers.
func (p *Plan) bringsOwner(ref metav1.OwnerReference) bool {
	return slices.ContainsFunc(p.Items, func(i *Item) bool { return i.works() && i.uid == ref.UID })
}

// sort puts what others need before what needs it: by the order that the
// profiles give, owners before what they own, and else by name.
func (p *Plan) sort() {
	slices.SortFunc(p.Items, func(a, b *Item) int {
		return cmp.Or(cmp.Compare(a.options.Order, b.options.Order), cmp.Compare(a.String(), b.String()))
	})
	var sorted []*Item
	placed := map[*Item]bool{}
	var place func(i *Item)
	place = func(i *Item) {
		if placed[i] {
			return
		}
		placed[i] = true
		for _, other := range p.Items {
			if slices.Contains(i.owners, other.uid) {
				place(other)
			}
		}
		sorted = append(sorted, i)
	}
	for _, item := range p.Items {
		place(item)
	}
	p.Items = sorted
}

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
	// stale are snapshots of earlier versions whose journals are still open.
	stale []string
}

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

// SnapshotPath is RESOURCE.GROUP/[NAMESPACE/]NAME/ID of the item's snapshot;
// of one that cannot be read, the ID.
func (i *Item) SnapshotPath() string {
	if i.snap == nil {
		return i.Snapshot
	}
	return i.snap.Path()
}

// Result is how an item ended.
type Result string

const (
	// ResultDone says that the object is there as it was saved.
	ResultDone Result = "done"
	// ResultSkipped says that there was nothing to do.
	ResultSkipped Result = "skipped"
	// ResultFailed says that the object is not as it was saved.
	ResultFailed Result = "failed"
)

// Outcome is how one item of a plan ended.
type Outcome struct {
	Resource  string    `json:"resource"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Snapshot  string    `json:"snapshot,omitempty"`
	Result    Result    `json:"result"`
	Reason    string    `json:"reason,omitempty"`
	NewUID    types.UID `json:"newUID,omitempty"`
	// Missing bounds the time for which nobody saw the object: from sending
	// the removal of its finalizers to the answer of its creation.
	Missing  time.Duration `json:"missingNanoseconds,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
	// Err is the error behind a failure, for callers that tell kinds apart.
	Err error `json:"-"`
}

// String names the outcome's object as messages do.
func (o *Outcome) String() string { return o.Resource + " " + joinName(o.Namespace, o.Name) }

// terminating says that obj is marked as deleted.
func terminating(obj *unstructured.Unstructured) bool { return obj.GetDeletionTimestamp() != nil }
