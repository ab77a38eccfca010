// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
)

const (
	// dependentsPage is how many objects one request of the search brings. They
	// come without their content, so a page of this many has some 2 MB, and
	// what a request costs besides does not count any more.
	dependentsPage = 5000
	// searches is how many kinds are searched at a time.
	searches = 6
)

// Dependent is an object that belongs to another by an ownerReference.
type Dependent struct {
	Resource  schema.GroupVersionResource `json:"resource"`
	Namespace string                      `json:"namespace,omitempty"`
	Name      string                      `json:"name"`
	UID       types.UID                   `json:"uid"`
}

// String names the dependent as messages do.
func (d Dependent) String() string {
	return d.Resource.GroupResource().String() + " " + joinName(d.Namespace, d.Name)
}

// Dependents finds all objects that name the object owner of namespace as their
// owner, and the kinds that could not be read, of which there may be more.
func (r *Recovery) Dependents(ctx context.Context, namespace string, owner types.UID) (owned []Dependent, unread []string, err error) {
	kinds, unread, err := r.collectable(ctx, namespace)
	if err != nil {
		return nil, nil, err
	}
	owned, unreadable := r.allOwnedBy(ctx, kinds, namespace, owner)
	return owned, append(unread, unreadable...), nil
}

// checkDependents refuses the undo of an object that owns others: they carry
// its old UID, and the garbage collector deletes them as soon as it is away,
// whether or not there is a new object of its name.
func (r *Recovery) checkDependents(ctx context.Context, item *Item, live *unstructured.Unstructured) error {
	found, unread, err := r.Dependents(ctx, item.Namespace, item.uid)
	if err != nil {
		return fmt.Errorf("look for objects that belong to %s: %w", item.target, err)
	}
	var owned []string
	for _, d := range found {
		owned = append(owned, d.String())
	}
	switch {
	case len(owned) > 0 && slices.Contains(live.GetFinalizers(), metav1.FinalizerDeleteDependents):
		item.warn("the garbage collector is deleting what belongs to it: %s", firstFew(owned))
	case len(owned) > 0:
		item.refuse("the garbage collector would delete what belongs to it as soon as it is away: %s; remove their ownerReferences to it first", firstFew(owned))
	case len(unread) > 0:
		item.warn("if any %s belong to it, the garbage collector will delete them: they cannot be listed", firstFew(unread))
	}
	return nil
}

// allOwnedBy lists the objects of kinds that belong to owner, in the order of
// kinds, and the kinds that cannot be read.
func (r *Recovery) allOwnedBy(ctx context.Context, kinds []schema.GroupVersionResource, namespace string, owner types.UID) (owned []Dependent, unread []string) {
	found, errs := make([][]Dependent, len(kinds)), make([]error, len(kinds))
	var group errgroup.Group
	group.SetLimit(searches)
	for i, gvr := range kinds {
		group.Go(func() error {
			found[i], errs[i] = r.ownedBy(ctx, gvr, namespace, owner)
			return nil // the others are of interest all the same
		})
	}
	_ = group.Wait() // each has its own error
	for i, gvr := range kinds {
		owned = append(owned, found[i]...)
		// A kind that went since it was listed, or cannot be listed after all, has none.
		if err := errs[i]; err != nil && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
			unread = append(unread, gvr.GroupResource().String())
		}
	}
	return owned, unread
}

// collectable lists the resources whose objects an object in namespace can own.
func (r *Recovery) collectable(ctx context.Context, namespace string) (kinds []schema.GroupVersionResource, unread []string, err error) {
	lists, err := r.Discovery.ServerPreferredResourcesWithContext(ctx)
	if groups, partly := discovery.GroupDiscoveryFailedErrorGroups(err); partly {
		for gv := range groups {
			unread = append(unread, "resources of "+gv.String())
		}
		slices.Sort(unread)
	} else if err != nil {
		return nil, nil, err
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // nothing can be asked of such a group
		}
		for _, res := range list.APIResources {
			// The garbage collector does not look at Events.
			if slices.Contains(res.Verbs, "list") && slices.Contains(res.Verbs, "delete") && (res.Namespaced || namespace == "") && res.Name != "events" {
				kinds = append(kinds, gv.WithResource(res.Name))
			}
		}
	}
	return kinds, unread, nil
}

// ownedBy lists the objects of gvr that belong to owner.
func (r *Recovery) ownedBy(ctx context.Context, gvr schema.GroupVersionResource, namespace string, owner types.UID) ([]Dependent, error) {
	var owned []Dependent
	opts := metav1.ListOptions{Limit: dependentsPage}
	for {
		page, err := r.Metadata.Resource(gvr).Namespace(namespace).List(ctx, opts)
		if err != nil {
			return owned, err
		}
		for i := range page.Items {
			m := &page.Items[i]
			if slices.ContainsFunc(m.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == owner }) {
				owned = append(owned, Dependent{gvr, m.Namespace, m.Name, m.UID})
			}
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return owned, nil
		}
	}
}

// firstFew names the first three of many.
func firstFew(names []string) string {
	text := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		text += fmt.Sprintf(" and %d more", len(names)-3)
	}
	return text
}
