// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// annotationPin keeps a snapshot from being removed by retention, whatever its
// value is.
const annotationPin = "holdfast.dev/pin"

// Pin says who wants a snapshot to stay, and why.
type Pin struct {
	User   string    `json:"user,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// SetPin pins snapshot id; nil takes the pin away.
func (s *Store) SetPin(ctx context.Context, id string, pin *Pin) error {
	if !ValidID(id) {
		return fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	notes := map[string]any{annotationPin: nil}
	if pin != nil {
		noted := *pin
		noted.At = s.now().UTC().Truncate(time.Millisecond)
		notes[annotationPin] = noted
	}
	err := s.annotate(ctx, id, notes)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return fmt.Errorf("pin snapshot %s: %w", id, err)
	}
	return nil
}
