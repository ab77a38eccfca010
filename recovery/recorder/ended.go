// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// keptAfter is when an object that is still there, and not marked, after a
// request to delete it was saved, has surely been kept: the request took 30 s
// at most.
const keptAfter = 35 * time.Second

// ended is a guarded object that has gone.
type ended struct {
	guarded *profile.Guarded
	name    profile.Name
	// last is its last state, nil if nobody saw it go.
	last *unstructured.Unstructured
}

// hasEnded notes that an object has gone.
func (r *Recorder) hasEnded(uid types.UID, one ended) {
	r.mu.Lock()
	if root := r.roots[uid]; root != nil && one.last == nil && len(root.pending) > 0 {
		one.last = root.pending[len(root.pending)-1]
	}
	delete(r.roots, uid)
	if r.named[one.name] == uid {
		delete(r.named, one.name)
	}
	if before, ok := r.ended[uid]; !ok || before.last == nil {
		r.ended[uid] = one
	}
	r.mu.Unlock()
	r.ends.Add(uid)
}

// confirm finds out whether Holdfast was asked about an object that has gone,
// and marks its newest version accordingly.
func (r *Recorder) confirm(ctx context.Context, uid types.UID) error {
	r.mu.Lock()
	one, ok := r.ended[uid]
	r.mu.Unlock()
	if !ok {
		return nil
	}
	if err := r.confirmEnd(ctx, uid, one); err != nil {
		logf.FromContext(ctx).Error(err, "What became of a guarded object could not be noted; it is tried again", "resource", one.guarded.Resource.String(), "namespace", one.name.Namespace, "name", one.name.Name)
		return err
	}
	r.mu.Lock()
	delete(r.ended, uid)
	r.mu.Unlock()
	r.Sets.versions.Delete(uid)
	return nil
}

func (r *Recorder) confirmEnd(ctx context.Context, uid types.UID, one ended) error {
	records := r.book.records(uid)
	asked := r.asked(uid, records)
	var err error
	if !asked {
		// What the book tells may be older than the request that was answered last.
		if records, err = r.Store.List(ctx, snapshot.Filter{UID: uid}); err != nil {
			return err
		}
		asked = r.asked(uid, records)
	}
	id := ""
	if one.last != nil {
		if id, err = r.saveVersion(ctx, one.guarded, one.last, newestID(records), false); err != nil {
			return err
		}
	} else if len(records) > 0 {
		id = records[0].ID
	}
	if id == "" {
		return nil // it was never seen, and nothing can be said of it
	}
	if _, err := r.Store.SetState(ctx, id, snapshot.StateDeleted, !asked); err != nil {
		return err
	}
	if asked {
		return nil
	}
	return r.announce(ctx, uid, one, id)
}

func newestID(records []snapshot.Record) string {
	if len(records) == 0 {
		return ""
	}
	return records[0].ID
}

// asked tells whether Holdfast was asked before an object went. Before it lets a
// namespace or a definition go, it notes that on all that goes with them.
func (r *Recorder) asked(uid types.UID, records []snapshot.Record) bool {
	return slices.ContainsFunc(records, func(record snapshot.Record) bool {
		at, tried := triedAt(&record)
		return tried && !r.keptSince(uid, record.ID, at)
	})
}

// What the webhook, and an undo, save before. Finalizers are taken from what is
// Terminating, so that the object may go with them.
const (
	operationDelete = "delete"
	operationUndo   = "undo"
	operationStrip  = "strip-finalizers"
)

// triedAt is when somebody last had Holdfast save a version before its removal.
func triedAt(r *snapshot.Record) (time.Time, bool) {
	if a := r.LastAttempt; a != nil && removes(a.Operation) {
		return a.At, true
	}
	if r.Journal.Open() {
		return r.Journal.At, true
	}
	return r.SavedAt, removes(r.Operation)
}

func removes(operation string) bool {
	return operation == operationDelete || operation == operationUndo || operation == operationStrip
}

// keptSince tells whether the object was found to be kept after a request of
// that time: that request did not remove it.
func (r *Recorder) keptSince(uid types.UID, id string, at time.Time) bool {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, record := range r.book.snapshots[uid] {
		if record.ID == id {
			return record.State == snapshot.StateKept && record.StateAt.After(at)
		}
	}
	return false
}

// findKept marks what was to be deleted and is still there as kept.
func (r *Recorder) findKept(ctx context.Context) {
	r.mu.Lock()
	var there []types.UID
	for uid, one := range r.roots {
		if !one.terminating {
			there = append(there, uid)
		}
	}
	r.mu.Unlock()
	now := r.Now()
	for _, uid := range there {
		for _, id := range r.book.attempted(uid, now.Add(-keptAfter)) {
			if _, err := r.Store.SetState(ctx, id, snapshot.StateKept, false); err != nil && ctx.Err() == nil {
				logf.FromContext(ctx).Error(err, "A version could not be marked as kept; it is tried again", "snapshot", id)
			}
		}
	}
}

// announce tells of a bypass, once for all replicas.
func (r *Recorder) announce(ctx context.Context, uid types.UID, one ended, id string) error {
	note := fmt.Sprintf("%s was removed without Holdfast being asked. Its last state is saved; bring it back with: holdfast recovery restore %s", one.name, id)
	first, err := r.tell(ctx, uid, one, id, note)
	if err != nil {
		return err
	}
	if first {
		r.Metrics.bypassed(one.guarded.Resource)
		logf.FromContext(ctx).Info("A guarded object was removed without Holdfast being asked", "resource", one.guarded.Resource.String(), "namespace", one.name.Namespace, "name", one.name.Name, "snapshot", id)
	}
	return nil
}
