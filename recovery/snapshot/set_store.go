// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SaveSet stores set, whose saved members are stored already. Everybody who
// finds the same members together writes the same Secret, so a set that is
// there is success; it is noted that it holds again. Latest is the latest set
// of the root that the caller knows to be there, if any: when that is the very
// same, nothing is asked and nothing is written.
func (s *Store) SaveSet(ctx context.Context, set *Set, latest SetRecord) (SetRecord, error) {
	key, err := s.digestKey(ctx)
	if err != nil {
		return SetRecord{}, fmt.Errorf("save set: %w", err)
	}
	set.ID = identity(key, "set "+string(set.UID), set.content())
	set.TakenAt = s.now().UTC().Truncate(time.Millisecond)
	set.LastAt = set.TakenAt
	if latest.ID == set.ID {
		return latest, nil
	}
	secret, err := s.codec.encodeSet(set)
	if err != nil {
		return SetRecord{}, fmt.Errorf("save set: %w", err)
	}
	for range saveTries {
		_, err = s.secrets().Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
		if err == nil {
			return set.SetRecord, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return SetRecord{}, fmt.Errorf("save set: %w", err)
		}
		existing, err := s.Set(ctx, set.ID)
		switch {
		case err == nil:
			return s.holdsAgain(ctx, existing.SetRecord, set)
		case errors.Is(err, ErrNotFound):
			continue
		case !errors.Is(err, ErrDamaged):
			return SetRecord{}, fmt.Errorf("save set: %w", err)
		}
		old, err := s.secrets().Get(ctx, secret.Name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		mended := secret.DeepCopy()
		mended.ResourceVersion = old.ResourceVersion
		if _, err := s.secrets().Update(ctx, mended, metav1.UpdateOptions{FieldManager: fieldManager}); err == nil {
			return set.SetRecord, nil
		}
	}
	return SetRecord{}, fmt.Errorf("save set: gave up after %d tries: somebody else keeps writing to Secret %q", saveTries, secret.Name)
}

// holdsAgain notes on a set that is there that its members were found together now.
func (s *Store) holdsAgain(ctx context.Context, existing SetRecord, now *Set) (SetRecord, error) {
	note := again{At: now.TakenAt, Operation: now.Operation, User: now.User}
	if err := s.annotateSecret(ctx, setPrefix+existing.ID, "", map[string]any{annotationSetAgain: note}); err != nil {
		return SetRecord{}, fmt.Errorf("note that set %s holds again: %w", existing.ID, err)
	}
	existing.LastAt, existing.Operation, existing.User = note.At, note.Operation, note.User
	return existing, nil
}

// Sets is the records of the sets whose roots f selects, newest first, without
// reading payloads. One that cannot be read has a Problem, and only a filter
// that selects everything shows it.
func (s *Store) Sets(ctx context.Context, f Filter) ([]SetRecord, error) {
	selector := labelSet
	if f.UID != "" {
		selector = labelSetUID + "=" + labelValue(string(f.UID))
	}
	var sets []SetRecord
	err := s.eachSecret(ctx, selector, func() { sets = nil }, func(m metav1.Object) {
		r := describeSet(m)
		root := Record{Resource: r.Resource, Namespace: r.Namespace, Name: r.Name, UID: r.UID}
		if f.all() || f.matches(&root) {
			sets = append(sets, r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list sets: %w", err)
	}
	slices.SortFunc(sets, func(a, b SetRecord) int {
		return cmp.Or(b.LastAt.Compare(a.LastAt), strings.Compare(a.Path(), b.Path()))
	})
	return sets, nil
}

// LastComplete is the newest set of a root that can be used and is complete;
// its ID is empty if there is none.
func (s *Store) LastComplete(ctx context.Context, root types.UID) (SetRecord, error) {
	sets, err := s.Sets(ctx, Filter{UID: root})
	if err != nil {
		return SetRecord{}, err
	}
	if at := slices.IndexFunc(sets, func(r SetRecord) bool { return r.Problem == "" && r.Complete }); at >= 0 {
		return sets[at], nil
	}
	return SetRecord{}, nil
}

// Set is set id with its members, verified. The error is an ErrNotFound, an
// ErrDamaged, or that of the API server.
func (s *Store) Set(ctx context.Context, id string) (*Set, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%w: set %q", ErrNotFound, id)
	}
	secret, err := s.secrets().Get(ctx, setPrefix+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: set %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("get set %q: %w", id, err)
	}
	return s.codec.decodeSet(secret)
}
