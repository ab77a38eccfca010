// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/helmrelease"
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
	// Helm brings releases back that are among what is restored; nil to leave
	// them alone.
	Helm *helmrelease.Helm
	// Tell, if set, is told what is done and waited for between the objects.
	Tell func(helmrelease.Progress)
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
	// ActionMerge applies what is saved to an object that is there.
	ActionMerge Action = "merge"
	// ActionReplace makes an object that is there be as it was saved.
	ActionReplace Action = "replace"
	// ActionSkip leaves alone an object for which there is nothing to do.
	ActionSkip Action = "skip"
	// ActionRefuse leaves alone an object that cannot be brought back as things are.
	ActionRefuse Action = "refuse"
)

// Plan is what a recovery is going to do, in this order.
type Plan struct {
	Operation string `json:"operation"`
	// Set is what is restored as a whole, if it is a set.
	Set *snapshot.SetRecord `json:"set,omitempty"`
	// Release is the Helm release that comes back before everything else.
	Release *helmrelease.Plan `json:"release,omitempty"`
	Items   []*Item           `json:"items"`
	// Notes say what is not among what was saved, and does not come back.
	Notes []string `json:"notes,omitempty"`
	// Warnings say what the selection of objects would bring about.
	Warnings []string `json:"warnings,omitempty"`

	options RestoreOptions
}

// Work counts the items for which there is something to do.
func (p *Plan) Work() int {
	n := 0
	if p.Release != nil && p.Release.Work() > 0 {
		n++
	}
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

// orderOf is the place of an item among the others: not before that of what
// owns it. Owners that own each other end at depth.
func (p *Plan) orderOf(item *Item, depth int) int32 {
	order := item.options.Order
	if item.beforeOwner || depth == 0 {
		return order
	}
	for _, other := range p.Items {
		if other != item && slices.Contains(item.owners, other.uid) {
			order = max(order, p.orderOf(other, depth-1))
		}
	}
	return order
}

// sort puts what others need before what needs it: by the order that the
// profiles give, owners before what they own, or after it where a profile says
// so, and else by name.
func (p *Plan) sort() {
	order := map[*Item]int32{}
	for _, i := range p.Items {
		order[i] = p.orderOf(i, len(p.Items))
	}
	slices.SortFunc(p.Items, func(a, b *Item) int {
		return cmp.Or(a.rank()-b.rank(), cmp.Compare(order[a], order[b]), cmp.Compare(a.String(), b.String()))
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
			if slices.Contains(i.owners, other.uid) && !i.beforeOwner || slices.Contains(other.owners, i.uid) && other.beforeOwner {
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
