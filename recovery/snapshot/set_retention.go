// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// memberSize is what one member takes in the payload of a set, about.
const memberSize = 64

// ApplySets tells which of sets, sorted as Sets gives them, are kept: as many of
// each root as the policy keeps versions, and always its latest and its latest
// complete one, so that what is gone can be brought back whole; and the sets of
// those of records that a recovery works from or that are pinned. One that
// cannot be read stays, because nobody knows what it is.
func (p Policy) ApplySets(sets []SetRecord, records []Record) (keep, remove []SetRecord) {
	count, complete, wanted := map[types.UID]int{}, map[types.UID]bool{}, map[string]bool{}
	for i := range records {
		if r := &records[i]; r.Pin != nil || r.Journal.Open() {
			wanted[r.ID] = true
		}
	}
	for _, s := range sets {
		if s.Problem != "" {
			keep = append(keep, s)
			continue
		}
		count[s.UID]++
		first := s.Complete && !complete[s.UID]
		complete[s.UID] = complete[s.UID] || s.Complete
		if count[s.UID] == 1 || first || wanted[s.Root] || p.Versions == 0 || count[s.UID] <= p.Versions {
			keep = append(keep, s)
			continue
		}
		remove = append(remove, s)
	}
	return keep, remove
}

// Footprint is how much the set takes in the cluster's storage, about: its
// members' names and IDs, compressed.
func (r *SetRecord) Footprint() int64 { return overhead + int64(r.Saved+r.Named)*memberSize }

// HeldBy are the members of sets, with the reason why they stay. A set that
// cannot be read holds nothing; any other trouble is an error.
func (s *Store) HeldBy(ctx context.Context, sets []SetRecord) (map[string]string, error) {
	held := map[string]string{}
	for _, record := range sets {
		set, err := s.Set(ctx, record.ID)
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, member := range set.Members {
			if member.Snapshot != "" {
				held[member.Snapshot] = "part of set " + set.ID
			}
		}
	}
	return held, nil
}

// RemoveSet removes the set of r, which is as it was listed, and none of its
// members. One that holds again since stays: the error is an ErrInUse.
func (s *Store) RemoveSet(ctx context.Context, r SetRecord) error {
	client := s.metadata.Resource(secretsResource()).Namespace(s.namespace)
	m, err := client.Get(ctx, setPrefix+r.ID, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove set %s: %w", r.ID, err)
	}
	if now := describeSet(m); !now.LastAt.Equal(r.LastAt) {
		return fmt.Errorf("%w: set %s", ErrInUse, r.ID)
	}
	err = client.Delete(ctx, m.Name, exactly(m))
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w: set %s", ErrInUse, r.ID)
	default:
		return fmt.Errorf("remove set %s: %w", r.ID, err)
	}
}
