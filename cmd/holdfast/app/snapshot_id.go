// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// namedSnapshot is a snapshot as the command line names it.
type namedSnapshot struct {
	id string
	// path is the whole RESOURCE.GROUP/[NAMESPACE/]NAME/ID, if it was given.
	path string
}

// snapshotID reads ID or RESOURCE.GROUP/[NAMESPACE/]NAME/ID.
func snapshotID(arg string) (namedSnapshot, error) {
	n := namedSnapshot{id: arg[strings.LastIndex(arg, "/")+1:]}
	if !snapshot.ValidID(n.id) {
		return n, usagef("%q is not the ID of a snapshot; 'holdfast recovery list' shows them", arg)
	}
	if n.id != arg {
		n.path = arg
	}
	return n, nil
}

// matches makes sure that a path names the object of the snapshot.
func (n namedSnapshot) matches(r *snapshot.Record) error {
	if n.path != "" && n.path != r.Path() {
		return usagef("snapshot %s is %s, not %s", n.id, r.Path(), n.path)
	}
	return nil
}

// setID reads the ID of a set, or a whole line of 'recovery list --sets -o name'.
func setID(arg string) (namedSnapshot, error) {
	n, err := snapshotID(arg)
	if err != nil {
		return n, usagef("%q is not the ID of a set; 'holdfast recovery list --sets' shows them", arg)
	}
	return n, nil
}

// unknownSnapshot makes the error for one of ids that does not exist one of
// usage, and says so when it is the ID of a set.
func unknownSnapshot(ctx context.Context, store *snapshot.Store, err error, ids ...string) error {
	if !errors.Is(err, snapshot.ErrNotFound) {
		return err
	}
	for _, id := range ids {
		if _, setErr := store.Set(ctx, id); setErr == nil {
			return usagef("%s is the ID of a set, not of a snapshot: 'holdfast recovery restore --set %s' brings it back, and 'holdfast recovery list' shows the snapshots there are", id, id)
		}
	}
	return usagef("%w; 'holdfast recovery list' shows those there are", err)
}

// unknownSet is the like for a set.
func unknownSet(ctx context.Context, store *snapshot.Store, err error, id string) error {
	if !errors.Is(err, snapshot.ErrNotFound) {
		return err
	}
	if _, oneErr := store.Describe(ctx, id); oneErr == nil {
		return usagef("%s is the ID of a snapshot, not of a set: 'holdfast recovery restore %s' brings it back, and 'holdfast recovery list --sets' shows the sets there are", id, id)
	}
	return usagef("%w; 'holdfast recovery list --sets' shows those there are", err)
}
