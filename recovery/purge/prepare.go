// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Prepare makes the plan: of a purge that a journal says was begun and not
// ended, or else of a new one. Only SELECTs are sent.
func Prepare(ctx context.Context, db Database, r Request, o Options) (*Plan, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	realm, err := FindRealm(ctx, db, r)
	if err != nil {
		return nil, err
	}
	past, err := lastRun(o.Journal, realm.Keyspace, r.Interface, r.Major)
	if err != nil {
		return nil, err
	}
	if past != nil && !past.state.closed {
		return resumePlan(ctx, db, past)
	}
	t, err := Resolve(ctx, db, r)
	if past != nil && !r.Orphan && isInput(err) {
		return nil, &DoneError{past.state.header.Target.Title(), past.dir, past.state.closedAt}
	}
	if err != nil {
		return nil, err
	}
	return MakePlan(ctx, db, t)
}

// resumePlan is the plan of what a purge that was begun has left to do.
func resumePlan(ctx context.Context, db Database, past *pastRun) (*Plan, error) {
	h := past.state.header
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	if err := sameCluster(h, cluster, past.dir); err != nil {
		return nil, err
	}
	if err := checkReinstalled(ctx, db, past.state, cql.Quorum); err != nil {
		return nil, fmt.Errorf("%w; nothing was changed now. To purge what was installed since, move the journal %s away and begin a new purge", err, past.dir)
	}
	target := h.Target
	target.Orphan = target.Orphan || past.state.detached
	if past.state.dropped {
		target.Object = nil
	}
	p, err := MakePlan(ctx, db, &target)
	if err != nil {
		return nil, err
	}
	p.Digest, p.Resumes = h.Digest, past.dir
	p.allowed, p.detached = h.Allowed, past.state.detached
	return p, nil
}

// sameCluster refuses a journal of another database.
func sameCluster(h *Header, c cql.Cluster, dir string) error {
	known := slices.ContainsFunc(c.Nodes, func(n cql.Node) bool {
		return slices.ContainsFunc(h.Nodes, func(other string) bool { return strings.HasPrefix(other, n.HostID) })
	})
	if h.Target.Cluster != c.Name || !known {
		return fmt.Errorf("resume purge: the journal %s is of cluster %q, and this is another cluster %q; use --hosts of the first, or another --journal folder", dir, h.Target.Cluster, c.Name)
	}
	return nil
}

// checkReinstalled stops when the interface's row is there although this purge
// deleted it: then somebody installed the interface again, under the same id.
func checkReinstalled(ctx context.Context, db Reader, s *state, level cql.Consistency) error {
	if s.detach == 0 {
		return nil
	}
	row, err := readRow(ctx, db, &s.header.Target, level)
	if err != nil {
		return err
	}
	if row.found && row.written > s.detach {
		return fmt.Errorf("%w: the row of %s was written at %s, after the purge deleted it at %s", ErrReinstalled,
			Title(s.header.Target.Name, s.header.Target.Major), formatMicros(row.written), formatMicros(s.detach))
	}
	return nil
}
