// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package own answers what Holdfast's own objects are worth: which snapshots are
// the latest copy of an object that is gone.
package own

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Resolver finds the version in which objects of a resource can be read.
type Resolver interface {
	Resolve(ctx context.Context, gr schema.GroupResource) (gvr schema.GroupVersionResource, installed bool, err error)
}

// Copies reads the snapshots and asks for their objects each time.
type Copies struct {
	Snapshots *snapshot.Store
	Metadata  metadata.Interface
	Kinds     Resolver
}

var _ guard.Copies = (*Copies)(nil)

// Last implements guard.Copies. Of several versions the latest counts, so that
// deleting all at once, each of them while the others are still there, leaves that.
func (c *Copies) Last(ctx context.Context, secret *unstructured.Unstructured) (guard.Copy, bool, error) {
	if set := snapshot.ReadStored(secret).Set; set != nil {
		return c.lastSet(ctx, set.ID)
	}
	id, ok := snapshot.OwnerOf(secret)
	if !ok {
		return guard.Copy{}, false, nil
	}
	record, err := c.Snapshots.Describe(ctx, id)
	if errors.Is(err, snapshot.ErrNotFound) {
		return guard.Copy{}, false, nil // the rest of a write that was cut off
	}
	if err != nil {
		return guard.Copy{}, false, err
	}
	if record.Problem != "" {
		return guard.Copy{}, false, nil // nothing can be brought back from it as it is
	}
	versions, err := c.Snapshots.Find(ctx, record.GroupResource(), record.Namespace, record.Name)
	if err != nil {
		return guard.Copy{}, false, err
	}
	for _, i := range snapshot.Latest(versions) {
		if versions[i].ID == id {
			missing, err := c.missing(ctx, &versions[i])
			return copyOf(&versions[i]), missing, err
		}
	}
	return guard.Copy{}, false, nil
}

// lastSet tells whether set id is the latest, or the latest complete one, of a
// root that is gone: without it nobody knows what belonged to the root. What
// counts is what is stored, not what the request says of it.
func (c *Copies) lastSet(ctx context.Context, id string) (guard.Copy, bool, error) {
	set, err := c.Snapshots.Set(ctx, id)
	if errors.Is(err, snapshot.ErrNotFound) || errors.Is(err, snapshot.ErrDamaged) {
		return guard.Copy{}, false, nil // nothing can be brought back by it as it is
	}
	if err != nil {
		return guard.Copy{}, false, err
	}
	sets, err := c.Snapshots.Sets(ctx, snapshot.Filter{UID: set.UID})
	if err != nil {
		return guard.Copy{}, false, err
	}
	keep, _ := snapshot.Policy{Versions: 1}.ApplySets(sets, nil)
	if !slices.ContainsFunc(keep, func(s snapshot.SetRecord) bool { return s.ID == id }) {
		return guard.Copy{}, false, nil
	}
	root := snapshot.Record{ID: set.Root, Resource: set.Resource, Kind: set.Kind, Namespace: set.Namespace, Name: set.Name, UID: set.UID}
	versions, err := c.Snapshots.List(ctx, snapshot.Filter{UID: set.UID})
	if err != nil {
		return guard.Copy{}, false, err
	}
	if len(versions) > 0 {
		root = versions[0] // it tells what became of it
	}
	missing, err := c.missing(ctx, &root)
	last := copyOf(&root)
	last.Set = true
	return last, missing, err
}

// AllLast implements guard.Copies.
func (c *Copies) AllLast(ctx context.Context, most int) (first []guard.Copy, more bool, err error) {
	records, err := c.Snapshots.List(ctx, snapshot.Filter{})
	if err != nil {
		return nil, false, err
	}
	var doubt error
	for _, i := range surest(records) {
		missing, err := c.missing(ctx, &records[i])
		switch {
		case err != nil:
			// One that is certainly missing is enough to refuse.
			doubt = fmt.Errorf("look for %s: %w", copyOf(&records[i]).Of, err)
			if ctx.Err() != nil {
				return first, len(first) > 0, unless(len(first) > 0, doubt)
			}
		case missing && len(first) == most:
			return first, true, nil
		case missing:
			first = append(first, copyOf(&records[i]))
		}
	}
	return first, false, unless(len(first) > 0, doubt)
}

// surest are the places of the latest versions, those first whose objects are
// gone for sure and then those that somebody tried to delete: most of the rest
// exist, and asking for each takes time.
func surest(records []snapshot.Record) []int {
	places := snapshot.Latest(records)
	rank := func(i int) int {
		switch records[i].State {
		case snapshot.StateDeleted:
			return 0
		case snapshot.StateAttempted:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return places
}

func unless(enough bool, err error) error {
	if enough {
		return nil
	}
	return err
}

// missing says that neither the object nor what was made again from r is there.
func (c *Copies) missing(ctx context.Context, r *snapshot.Record) (bool, error) {
	again := r.UID
	if r.Journal != nil && r.Journal.NewUID != "" {
		again = r.Journal.NewUID
	}
	if r.State == snapshot.StateDeleted && again == r.UID {
		return true, nil // a UID never comes back
	}
	gvr, installed, err := c.Kinds.Resolve(ctx, r.GroupResource())
	if err != nil {
		return false, err
	}
	if !installed {
		return true, nil
	}
	live, err := c.Metadata.Resource(gvr).Namespace(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return live.GetUID() != r.UID && live.GetUID() != again, nil
}

func copyOf(r *snapshot.Record) guard.Copy {
	return guard.Copy{ID: r.ID, Of: guard.Target{
		Resource: r.GroupResource(), Kind: strings.TrimSpace(r.Kind), Namespace: r.Namespace, Name: r.Name,
	}}
}
