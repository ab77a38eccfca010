// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Phase is how far a recovery has come.
type Phase string

const (
	// PhaseStarted says that the object may be gone and may be there again:
	// the recovery must be looked after.
	PhaseStarted Phase = "started"
	// PhaseCreated says that the object is there again, as NewUID, and its
	// status may not be replayed yet.
	PhaseCreated Phase = "created"
	// PhaseDone says that nothing is left to do.
	PhaseDone Phase = "done"
)

// Journal is how far a recovery from a snapshot has come. It is kept with the
// snapshot, so that a recovery that was killed is finished by whoever runs it again.
type Journal struct {
	// Operation is "undo" or "restore".
	Operation string `json:"operation"`
	Phase     Phase  `json:"phase"`
	// NewUID is the object that was created, once there is one.
	NewUID types.UID `json:"newUID,omitempty"`
	User   string    `json:"user,omitempty"`
	At     time.Time `json:"at"`
}

// Open says that a recovery began and did not end.
func (j *Journal) Open() bool { return j != nil && j.Phase != PhaseDone }

// SetJournal records how far a recovery from snapshot id has come. With the end
// of it, the snapshot is restored.
func (s *Store) SetJournal(ctx context.Context, id string, j Journal) error {
	j.At = s.now().UTC().Truncate(time.Millisecond)
	notes := map[string]any{annotationJournal: j}
	if j.Phase == PhaseDone {
		s.Forget(id)
		notes[annotationState] = status{State: StateRestored, At: j.At}
	}
	if err := s.annotate(ctx, id, notes); err != nil {
		return fmt.Errorf("write journal of snapshot %s: %w", id, err)
	}
	return nil
}

// ClearJournal removes the journal of a recovery that never began.
func (s *Store) ClearJournal(ctx context.Context, id string) error {
	if err := s.annotate(ctx, id, map[string]any{annotationJournal: nil}); err != nil {
		return fmt.Errorf("clear journal of snapshot %s: %w", id, err)
	}
	return nil
}
