// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Role is the part that a process has in a purge that several share.
type Role int

// The roles.
const (
	RoleWhole   Role = iota // all of it, in one process
	RolePrepare             // up to the time cut: journal, definition, row, wait
	RoleSweep               // one share of the ring
	RoleFinish              // when all shares are done: table, groups, verification
)

// Shard says which part of a shared purge a process does. All of them work in
// the same journal folder: prepare writes header and time cut there, each shard
// has a journal of its own in it, and finish reads those.
type Shard struct {
	Role  Role
	Index int
	Count int // 0: not shared
}

var shardText = regexp.MustCompile(`\A(prepare|finish|[0-9]{1,5})/([0-9]{1,5})\z`)

// mostShards bounds the pods of a job.
const mostShards = 4096

// ParseShard reads I/N, prepare/N or finish/N; "" is a purge in one process.
func ParseShard(text string) (Shard, error) {
	if text == "" {
		return Shard{}, nil
	}
	m := shardText.FindStringSubmatch(text)
	if m == nil {
		return Shard{}, fmt.Errorf("shard %q is not I/N, prepare/N or finish/N", text)
	}
	n, err := strconv.Atoi(m[2])
	if err != nil || n < 1 || n > mostShards {
		return Shard{}, fmt.Errorf("shard %q: the number of shards is from 1 to %d", text, mostShards)
	}
	switch m[1] {
	case "prepare":
		return Shard{Role: RolePrepare, Count: n}, nil
	case "finish":
		return Shard{Role: RoleFinish, Count: n}, nil
	}
	i, err := strconv.Atoi(m[1])
	if err != nil || i >= n {
		return Shard{}, fmt.Errorf("shard %q: the index is from 0 to %d", text, n-1)
	}
	return Shard{Role: RoleSweep, Index: i, Count: n}, nil
}

func shardDir(i, n int) string { return fmt.Sprintf("%s%d-of-%d", shardPrefix, i, n) }

// pollShards is how often a process looks whether the others are ready.
const pollShards = time.Second

// Join waits until the purge was prepared, and returns the plan that sweepers
// and finish go by. confirm is the digest that the user was shown.
func Join(ctx context.Context, db Database, r Request, o Options, confirm string) (*Plan, error) {
	o = o.withDefaults()
	if err := r.Check(); err != nil {
		return nil, err
	}
	realm, err := FindRealm(ctx, db, r)
	if err != nil {
		return nil, err
	}
	for said := false; ; {
		past, err := lastRun(o.Journal, realm.Keyspace, r.Interface, r.Major)
		if err != nil {
			return nil, err
		}
		if past != nil && past.state.prepared {
			return joinPlan(ctx, db, past, o, confirm)
		}
		if !said {
			o.Observe(Event{Phase: phaseShard, Message: fmt.Sprintf("waiting for the prepare step (--shard prepare/%d) to write header and time cut in %s", o.Shard.Count, o.Journal)})
			said = true
		}
		if err := sleep(ctx, pollShards); err != nil {
			return nil, err
		}
	}
}

func joinPlan(ctx context.Context, db Database, past *pastRun, o Options, confirm string) (*Plan, error) {
	h := past.state.header
	if past.state.closed {
		return nil, &DoneError{h.Target.Title(), past.dir, past.state.closedAt}
	}
	if h.Shards != o.Shard.Count {
		return nil, inputf("the purge in %s was prepared for %d shards, not %d", past.dir, h.Shards, o.Shard.Count)
	}
	if h.Digest != confirm {
		return nil, fmt.Errorf("%w: the purge that was prepared has the digest %s", ErrDigest, h.Digest)
	}
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	if err := sameCluster(h, cluster, past.dir); err != nil {
		return nil, err
	}
	return &Plan{Target: &h.Target, Digest: h.Digest, Resumes: past.dir, Nodes: cluster, Keyspace: h.Target.Keyspace, Realm: h.Target.Realm}, nil
}

// prepareShards does what comes before the sweeps, and lets the shards begin.
func (r *run) prepareShards(ctx context.Context) error {
	for _, phase := range []func(context.Context) error{r.saveDefinition, r.detachRow, r.quiesce} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	if r.state.prepared {
		return nil
	}
	if _, err := r.cut(ctx, 1); err != nil {
		return err
	}
	return r.append(recordPrepared, empty{})
}

// beginShard opens the journal of one shard, inside that of the whole purge,
// with what prepare has fixed.
func beginShard(db Database, p *Plan, o Options) (*run, error) {
	records, _, err := ReadJournal(p.Resumes)
	if err != nil {
		return nil, err
	}
	whole, err := replay(records)
	if err != nil {
		return nil, err
	}
	r := newRun(db, p, o)
	j, records, err := OpenJournal(filepath.Join(p.Resumes, shardDir(o.Shard.Index, o.Shard.Count)), o.Now)
	if err != nil {
		return nil, err
	}
	r.journal = j
	if r.state, err = replay(records); err == nil && r.state.header == nil {
		err = r.append(recordHeader, whole.header)
	}
	if err == nil && r.state.detach == 0 {
		err = r.append(recordDetach, stampRecord{whole.detach})
	}
	if _, ok := r.state.cuts[1]; err == nil && !ok {
		err = r.append(recordCut, cutRecord{1, whole.cuts[1]})
	}
	if err == nil {
		err = r.adopt()
	}
	if err != nil {
		_ = j.Close()
		return nil, err
	}
	return r, nil
}

// sweepShard sweeps, saves and verifies one share of the ring.
func (r *run) sweepShard(ctx context.Context) error {
	if r.state.shardDone != nil {
		return nil
	}
	if err := r.sweepAll(ctx); err != nil {
		return err
	}
	share := ringShare(r.o.Shard.Index, r.o.Shard.Count)
	if r.target.Object != nil {
		if err := r.exportObject(ctx, share); err != nil {
			return err
		}
	}
	level, err := r.verifyLevel(ctx)
	if err != nil {
		return err
	}
	r.say(phaseVerify, "verifying this share with another kind of query, at consistency %s", level)
	v := &verifier{run: r, level: level, result: Verification{Level: level.String()}}
	if err := v.data(ctx, share); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if err := r.judgeVerification(&v.result); err != nil {
		return err
	}
	if r.backup != nil {
		if err := r.backup.Finish(); err != nil {
			return err
		}
	}
	return r.append(recordShared, sweptRecord{Sweep: len(r.state.sweeps), Counts: r.state.deleted()})
}

// finishShards waits for all shards, and does what comes after the sweeps.
func (r *run) finishShards(ctx context.Context) error {
	if r.state.closed {
		return nil
	}
	if err := r.awaitShards(ctx); err != nil {
		return err
	}
	for _, phase := range []func(context.Context) error{r.dropTable, r.deleteGroups, r.verify, r.closeRun} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) awaitShards(ctx context.Context) error {
	said := -1
	for {
		done := 0
		var last sweptRecord
		for i := range r.o.Shard.Count {
			records, _, err := ReadJournal(filepath.Join(r.journal.Dir, shardDir(i, r.o.Shard.Count)))
			if err != nil {
				return err
			}
			s, err := replay(records)
			if err != nil {
				return err
			}
			if s.shardDone != nil {
				done++
				last.Counts = last.Counts.plus(s.shardDone.Counts)
				last.Sweep = max(last.Sweep, s.shardDone.Sweep)
			}
		}
		if done == r.o.Shard.Count {
			r.state.sweeps[last.Sweep] = last
			return nil
		}
		if done != said {
			r.say(phaseShard, "%d of %d shards are done", done, r.o.Shard.Count)
			said = done
		}
		if err := sleep(ctx, pollShards); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
