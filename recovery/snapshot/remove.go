// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// ErrInUse means that a snapshot that was to be removed is needed after all.
var ErrInUse = errors.New("snapshot is in use")

// Remove removes the snapshot of r, which is as it was listed. If anything has
// been noted on it since, as a recovery from it or one more attempt, it stays:
// the error is an ErrInUse. One that is gone already is no error. What a kill
// leaves over of its parts is for Sweep.
func (s *Store) Remove(ctx context.Context, r Record) error {
	client := s.metadata.Resource(secretsResource()).Namespace(s.namespace)
	m, err := client.Get(ctx, namePrefix+r.ID, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", r.ID, err)
	}
	now := describe(m)
	if now.Journal.Open() || now.Pin != nil || !now.LastAt().Equal(r.LastAt()) || now.UID != r.UID {
		return fmt.Errorf("%w: %s", ErrInUse, r.ID)
	}
	// Their versions of before the snapshot goes: a part that somebody writes
	// anew meanwhile belongs to a save that is under way.
	var parts []*metav1.PartialObjectMetadata
	for _, name := range now.Chunks {
		part, err := client.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove snapshot %s: %w", r.ID, err)
		}
		parts = append(parts, part)
	}
	for _, each := range append([]*metav1.PartialObjectMetadata{m}, parts...) {
		err := client.Delete(ctx, each.Name, exactly(each))
		switch {
		case err == nil, apierrors.IsNotFound(err):
		case apierrors.IsConflict(err):
			return fmt.Errorf("%w: %s", ErrInUse, r.ID)
		default:
			return fmt.Errorf("remove snapshot %s: %w", r.ID, err)
		}
	}
	return nil
}

// Sweep removes what is left of writes that were cut off, once it is older than
// age, which must be longer than any write takes. It says how much that was.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (int, error) {
	client := s.metadata.Resource(secretsResource()).Namespace(s.namespace)
	swept := 0
	opts := metav1.ListOptions{LabelSelector: labelChunk, FieldSelector: "type=" + string(SecretType), Limit: pageSize}
	for {
		page, err := client.List(ctx, opts)
		if err != nil {
			return swept, fmt.Errorf("list parts of snapshots: %w", err)
		}
		for i := range page.Items {
			part := &page.Items[i]
			if s.now().Sub(writtenAt(part)) < age {
				continue
			}
			orphan, err := s.orphan(ctx, part)
			if err != nil {
				return swept, err
			}
			if !orphan {
				continue
			}
			err = client.Delete(ctx, part.Name, exactly(part))
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue // somebody uses it, or was quicker
			}
			if err != nil {
				return swept, fmt.Errorf("sweep part of a snapshot: %w", err)
			}
			swept++
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return swept, nil
		}
	}
}

// orphan says that no snapshot needs part. Whoever makes one later writes the
// part anew first.
func (s *Store) orphan(ctx context.Context, part *metav1.PartialObjectMetadata) (bool, error) {
	id := part.Labels[labelChunk]
	if !ValidID(id) {
		return false, nil // somebody changed it; it may be needed
	}
	m, err := s.metadata.Resource(secretsResource()).Namespace(s.namespace).Get(ctx, namePrefix+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("get snapshot %q: %w", id, err)
	}
	r := describe(m)
	return r.Problem == "" && !slices.Contains(r.Chunks, part.Name), nil
}

// writtenAt is when a part was written last; of one without the note, when it
// was created.
func writtenAt(part *metav1.PartialObjectMetadata) time.Time {
	at, err := time.Parse(time.RFC3339, part.Annotations[annotationWritten])
	if err != nil || at.Before(part.CreationTimestamp.Time) {
		return part.CreationTimestamp.Time
	}
	return at
}

// exactly deletes this very version and nothing that came after it.
func exactly(m metav1.Object) metav1.DeleteOptions {
	preconditions := &metav1.Preconditions{UID: ptr.To(m.GetUID())}
	if version := m.GetResourceVersion(); version != "" {
		preconditions.ResourceVersion = &version
	}
	return metav1.DeleteOptions{Preconditions: preconditions}
}
