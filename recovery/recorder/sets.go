// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	// savers is how many members of a set are saved at a time.
	savers = 8
	// maxNamed bounds the names that a set records: a hundred thousand users of
	// one object would not fit into a Secret.
	maxNamed = 5000

	// operationRecord is why a version is kept that nobody is about to delete.
	operationRecord = "record"
	// operationSnapshot is what somebody asked for.
	operationSnapshot = "snapshot"
)

// Sets takes the sets of objects.
type Sets struct {
	Profiles *profile.Set
	Store    *snapshot.Store
	From     profile.Reader
	// Latest is the latest set of a root that is known to be stored. It may be nil.
	Latest func(root types.UID) snapshot.SetRecord
	// DefinitionVersion is the resource version of the definition of a resource,
	// as far as it is known. It may be nil.
	DefinitionVersion func(gr schema.GroupResource) string

	// versions are the snapshots of versions that were seen, by UID.
	versions sync.Map // types.UID -> seenVersion
}

type seenVersion struct{ resourceVersion, id string }

// Taken is what taking a set gave.
type Taken struct {
	// Root is the record of the root's snapshot, Set that of the set. An object
	// to which nothing belongs has no set but itself: ID is empty then.
	Root snapshot.Record
	Set  snapshot.SetRecord
	// Closure is what was found to belong to the root.
	Closure profile.Closure
	// Recoverable is whether the root could be brought back from it.
	Recoverable profile.Recoverability
}

// Look finds out what belongs to root, and whether it could be brought back if
// it were saved now. It writes nothing.
func (s *Sets) Look(ctx context.Context, guarded *profile.Guarded, root *unstructured.Unstructured) (Taken, error) {
	closure, err := s.Profiles.Closure(ctx, guarded, root, s.From)
	if err != nil {
		return Taken{}, err
	}
	recoverable, err := guarded.Recoverable(root)
	if err != nil {
		return Taken{}, err
	}
	return Taken{Closure: closure, Recoverable: recoverable.With(closure.Partly)}, nil
}

// Take saves root and all that belongs to it, the root last but for the set
// itself, so that a set is never listed before all of it is there. What is
// stored already costs nothing. With an operation other than "record" it is
// noted on the root's snapshot.
//
// What is being deleted falls apart: its finalizers, and the garbage collector,
// remove what belongs to it. The complete set of before stays its latest then,
// unless somebody asks for one of what is left.
func (s *Sets) Take(ctx context.Context, guarded *profile.Guarded, root *unstructured.Unstructured, p snapshot.Provenance) (Taken, error) {
	taken, err := s.Look(ctx, guarded, root)
	if err != nil {
		return Taken{}, err
	}
	if root.GetDeletionTimestamp() != nil && len(guarded.Closure) > 0 && p.Operation != operationSnapshot {
		if taken.Set, err = s.Store.LastComplete(ctx, root.GetUID()); err != nil {
			return Taken{}, err
		}
	}
	var members []snapshot.SetMember
	unlisted := 0
	if taken.Set.ID == "" {
		if members, unlisted, err = s.saveMembers(ctx, &taken, p); err != nil {
			return Taken{}, err
		}
	}
	save := s.Store.Save
	if p.Operation == operationRecord {
		save = s.Store.Keep
	}
	if taken.Root, err = save(ctx, guarded.Resource, root, s.defined(guarded.Resource, p)); err != nil {
		return Taken{}, err
	}
	s.versions.Store(root.GetUID(), seenVersion{root.GetResourceVersion(), taken.Root.ID})
	if len(guarded.Closure) == 0 || taken.Set.ID != "" {
		return taken, nil
	}
	members = append(members, snapshot.SetMember{
		Resource: guarded.Resource.String(), Namespace: root.GetNamespace(), Name: root.GetName(), UID: root.GetUID(), Snapshot: taken.Root.ID,
	})
	set := snapshot.NewSet(guarded.Resource, snapshot.SetRecord{
		APIVersion: root.GetAPIVersion(), Kind: root.GetKind(), Namespace: root.GetNamespace(), Name: root.GetName(), UID: root.GetUID(),
		Operation: p.Operation, User: p.User, Profile: p.Profile,
		Complete: !taken.Closure.Incomplete, Recoverable: string(taken.Recoverable.Recovery), Reasons: taken.Recoverable.Because,
	}, members)
	set.Named += unlisted
	taken.Set, err = s.Store.SaveSet(ctx, set, s.latest(root.GetUID()))
	return taken, err
}

// Save saves an object of gr, and what belongs to it if it is guarded. The
// record tells of the set, too.
func (s *Sets) Save(ctx context.Context, gr schema.GroupResource, object *unstructured.Unstructured, p snapshot.Provenance) (snapshot.Record, error) {
	guarded, ok := s.Profiles.Guarded(gr)
	if !ok || len(guarded.Closure) == 0 {
		return s.Store.Save(ctx, gr, object, s.defined(gr, p))
	}
	taken, err := s.Take(ctx, guarded, object, p)
	if err != nil {
		return snapshot.Record{}, err
	}
	taken.Root.Set, taken.Root.Partly = taken.Set.ID, taken.Closure.Partly
	return taken.Root, nil
}

func (s *Sets) latest(root types.UID) snapshot.SetRecord {
	if s.Latest == nil {
		return snapshot.SetRecord{}
	}
	return s.Latest(root)
}

// saveMembers saves the members of taken's closure and lists them; unlisted
// counts the names that are too many.
func (s *Sets) saveMembers(ctx context.Context, taken *Taken, p snapshot.Provenance) (members []snapshot.SetMember, unlisted int, err error) {
	var mu sync.Mutex
	named := 0
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(savers)
	for _, f := range taken.Closure.Members {
		m := snapshot.SetMember{Resource: f.Resource.String(), Namespace: f.Namespace, Name: f.Name.Name, UID: f.UID, Revision: f.Revision}
		if f.NamesOnly {
			if named++; named > maxNamed {
				unlisted++
				continue
			}
			mu.Lock()
			members = append(members, m)
			mu.Unlock()
			continue
		}
		group.Go(func() error {
			id, reason, err := s.saveMember(groupCtx, f, p)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				return fmt.Errorf("save %s: %w", f.Name, err)
			case reason != "":
				taken.Closure.Incomplete = true
				if !slices.Contains(taken.Closure.Partly, reason) {
					taken.Closure.Partly = append(taken.Closure.Partly, reason)
					taken.Recoverable = taken.Recoverable.With([]string{reason})
				}
			case id != "":
				m.Snapshot = id
				members = append(members, m)
			}
			return nil
		})
	}
	return members, unlisted, group.Wait()
}

// saveMember saves one member and gives the ID of its snapshot, none if it has
// gone meanwhile, or the reason why it cannot be saved.
func (s *Sets) saveMember(ctx context.Context, f profile.Found, p snapshot.Provenance) (id, reason string, err error) {
	if seen, ok := s.versions.Load(f.UID); ok && f.ResourceVersion != "" {
		if v := seen.(seenVersion); v.resourceVersion == f.ResourceVersion && s.Store.Knows(v.id) {
			return v.id, "", nil
		}
	}
	object := f.Object
	if object == nil {
		object, err = s.From.Object(ctx, f.Name)
		if apierrors.IsForbidden(err) {
			return "", fmt.Sprintf("%s may not be read", f.Name), nil
		}
		if err != nil || object == nil {
			return "", "", err
		}
	}
	record, err := s.Store.Keep(ctx, f.Resource, object, s.provenance(f.Resource, p))
	if errors.Is(err, snapshot.ErrTooLarge) {
		return "", fmt.Sprintf("%s is too large to be saved", f.Name), nil
	}
	if err != nil {
		return "", "", err
	}
	s.versions.Store(object.GetUID(), seenVersion{object.GetResourceVersion(), record.ID})
	return record.ID, "", nil
}

// provenance is that of a member of a set that is taken because of p.
func (s *Sets) provenance(gr schema.GroupResource, p snapshot.Provenance) snapshot.Provenance {
	member := snapshot.Provenance{Operation: operationRecord, User: p.User, Profile: p.Profile}
	if options, ok := s.Profiles.RestoreOptions(gr); ok {
		member.RestoreStatus, member.RestoreOrder = options.Status, options.Order
	}
	return s.defined(gr, member)
}

// defined is p with the version of the definition of gr.
func (s *Sets) defined(gr schema.GroupResource, p snapshot.Provenance) snapshot.Provenance {
	if p.CRDVersion == "" && s.DefinitionVersion != nil {
		p.CRDVersion = s.DefinitionVersion(gr)
	}
	return p
}
