// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// State is what has become of the object of a snapshot, as far as is known.
type State string

const (
	// StateAttempted says that the version was saved before a request that
	// would remove the object, and nobody has looked since what came of it.
	StateAttempted State = "attempted"
	// StateDeleted says that the object with this UID is gone. It never comes back.
	StateDeleted State = "deleted"
	// StateKept says that the object was still there when somebody looked last:
	// nobody tried to delete it, or it was tried and did not happen.
	StateKept State = "kept"
	// StateSuperseded says that a later version of the same object was saved.
	StateSuperseded State = "superseded"
	// StateRestored says that the object was brought back from this snapshot.
	StateRestored State = "restored"
)

// status is how a state is noted: in an annotation, because it changes.
type status struct {
	State State     `json:"state"`
	At    time.Time `json:"at"`
	// Bypass says that the object went without Holdfast being asked.
	Bypass bool `json:"bypass,omitempty"`
}

// firstState is the state of a version that is saved because of operation.
func firstState(operation string) State {
	switch operation {
	case "delete", "undo", "strip-finalizers":
		return StateAttempted
	default:
		return StateKept
	}
}

// follows says that a snapshot in state s may come to be in state next. What is
// gone is gone: only the object that was brought back in its place is news.
func (s State) follows(next State) bool {
	switch s {
	case StateDeleted:
		return next == StateRestored
	case StateRestored:
		return false
	case StateAttempted, StateKept, StateSuperseded:
		return true
	default:
		return true // it was not noted yet, or by a later version of holdfast
	}
}

// Known says that s is one of the states.
func (s State) Known() bool {
	return slices.Contains([]State{StateAttempted, StateDeleted, StateKept, StateSuperseded, StateRestored}, s)
}

// SetState notes on snapshot id what has become of its object: to, and whether
// that happened without Holdfast being asked. It may be told twice, and by
// several at once; what can no longer be true is not noted. The record is as it
// is afterwards.
func (s *Store) SetState(ctx context.Context, id string, to State, bypass bool) (Record, error) {
	if !ValidID(id) {
		return Record{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if !to.Known() {
		return Record{}, fmt.Errorf("note state of snapshot %s: unknown state %q", id, to)
	}
	for range saveTries {
		m, err := s.metadata.Resource(secretsResource()).Namespace(s.namespace).Get(ctx, namePrefix+id, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return Record{}, fmt.Errorf("%w: %q", ErrNotFound, id)
		}
		if err != nil {
			return Record{}, fmt.Errorf("get snapshot %q: %w", id, err)
		}
		r := describe(m)
		if !r.State.follows(to) || r.State == to && r.Bypass == bypass {
			return r, nil
		}
		now := status{State: to, At: s.now().UTC().Truncate(time.Millisecond), Bypass: bypass}
		err = s.annotateIf(ctx, id, m.GetResourceVersion(), map[string]any{annotationState: now})
		if apierrors.IsConflict(err) {
			continue // somebody else noted something, which may change the answer
		}
		if err != nil {
			return Record{}, fmt.Errorf("note state of snapshot %s: %w", id, err)
		}
		r.setStatus(now)
		if to == StateDeleted || to == StateRestored {
			s.Forget(id) // what is noted on it from now on depends on that
		}
		return r, nil
	}
	return Record{}, fmt.Errorf("note state of snapshot %s: gave up after %d tries: somebody else keeps writing to it", id, saveTries)
}

func (r *Record) status() *status { return &status{State: r.State, At: r.StateAt, Bypass: r.Bypass} }

func (r *Record) setStatus(s status) { r.State, r.StateAt, r.Bypass = s.State, s.At, s.Bypass }

// readStatus is the state that annotations tell of r. Snapshots of earlier
// versions of holdfast have none; theirs follows from the rest.
func (r *Record) readStatus(annotations map[string]string) {
	var noted status
	if json.Unmarshal([]byte(annotations[annotationState]), &noted) == nil && noted.State != "" {
		r.setStatus(noted)
		return
	}
	r.setStatus(status{State: firstState(r.Operation), At: r.SavedAt})
	if r.Journal != nil && r.Journal.Phase == PhaseDone {
		r.setStatus(status{State: StateRestored, At: r.Journal.At})
	}
}

// supersede marks all but the latest version of each object, as long as nothing
// more is known of them. It follows from what is there, so that it costs no
// write and cannot be missed. records must be sorted, newest first.
func supersede(records []Record) {
	seen := map[types.UID]bool{}
	for i := range records {
		r := &records[i]
		if r.Problem != "" || r.UID == "" {
			continue
		}
		if seen[r.UID] && (r.State == StateAttempted || r.State == StateKept) {
			r.State = StateSuperseded
		}
		seen[r.UID] = true
	}
}
