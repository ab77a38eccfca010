// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// version is one version of an object, ready to be written.
type version struct {
	record       Record
	raw, content []byte
}

// version works out the record of obj and what is to be stored of it.
func (s *Store) version(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p Provenance) (version, error) {
	if obj.GetUID() == "" || obj.GetName() == "" {
		return version{}, errors.New("the object has no uid or no name")
	}
	key, err := s.digestKey(ctx)
	if err != nil {
		return version{}, err
	}
	content, err := canonical(obj)
	if err != nil {
		return version{}, err
	}
	raw := p.Raw
	if raw == nil {
		if raw, err = obj.MarshalJSON(); err != nil {
			return version{}, fmt.Errorf("encode object: %w", err)
		}
	}
	record := newRecord(gr, obj, p)
	record.ID = identity(key, string(obj.GetUID()), content)
	record.SavedAt = s.now().UTC().Truncate(time.Millisecond)
	record.Size = len(raw)
	record.setStatus(status{State: cmp.Or(p.State, firstState(p.Operation)), At: record.SavedAt, Bypass: p.Bypass})
	if p.Journal != nil {
		journal := *p.Journal
		journal.At = record.SavedAt
		record.Journal = &journal
	}
	return version{record: record, raw: raw, content: content}, nil
}

// Keep stores obj as Save does, but notes nothing on a version that is there:
// it is for whoever keeps what was seen, and does not know of any request. A
// version that this store knows to be there costs nothing.
func (s *Store) Keep(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p Provenance) (Record, error) {
	v, err := s.version(ctx, gr, obj, p)
	if err != nil {
		return Record{}, fmt.Errorf("keep snapshot: %w", err)
	}
	if s.known.has(v.record.ID) {
		return v.record, nil
	}
	v, sealed, err := s.seal(ctx, v)
	if err != nil {
		return Record{}, fmt.Errorf("keep snapshot: %w", err)
	}
	there, err := s.createChunks(ctx, sealed.chunks)
	if err == nil && !there {
		_, err = s.secrets().Create(ctx, sealed.head, metav1.CreateOptions{FieldManager: fieldManager})
	}
	if there || apierrors.IsAlreadyExists(err) {
		old, getErr := s.secret(ctx, v.record.ID)
		if getErr == nil {
			if _, getErr = s.sound(ctx, old, v.content); getErr == nil {
				s.known.add(v.record.ID)
				return v.record, nil
			}
		}
		return s.Save(ctx, gr, obj, p) // it mends what is damaged
	}
	if err != nil {
		return Record{}, fmt.Errorf("keep snapshot: %w", err)
	}
	s.known.add(v.record.ID)
	return v.record, nil
}

// Knows says that this store wrote snapshot id, or has read and verified it.
func (s *Store) Knows(id string) bool { return s.known.has(id) }

// noteKnown notes the attempt on a version that is known to be there: one
// request, whose answer holds the whole Secret, so that it is verified too.
func (s *Store) noteKnown(ctx context.Context, v version) (Record, error) {
	patch, err := annotationPatch("", notesOf(v.record))
	if err != nil {
		return Record{}, err
	}
	secret, err := s.secrets().Patch(ctx, namePrefix+v.record.ID, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		if ctx.Err() == nil { // else it only came too late
			s.known.remove(v.record.ID)
		}
		return Record{}, err
	}
	record, err := s.sound(ctx, secret, v.content)
	if err != nil {
		s.known.remove(v.record.ID)
		return Record{}, err
	}
	return *record, nil
}

// notesOf are the annotations by which latest is noted on a version that is
// there. An object that is asked about exists, so that whatever was known of it
// may be followed by that.
func notesOf(latest Record) map[string]any {
	notes := map[string]any{annotationAttempt: attemptOf(latest), annotationState: latest.status()}
	if latest.Journal != nil {
		notes[annotationJournal] = latest.Journal
	}
	return notes
}

func attemptOf(latest Record) *Attempt {
	return &Attempt{
		Operation: latest.Operation, User: latest.User, RequestUID: latest.RequestUID,
		Reason: latest.Reason, Approval: latest.Approval, ResourceVersion: latest.ResourceVersion, At: latest.SavedAt,
	}
}

// known are the IDs of snapshots that are surely there.
type known struct{ ids sync.Map }

func (k *known) has(id string) bool { _, ok := k.ids.Load(id); return ok }
func (k *known) add(id string)      { k.ids.Store(id, nil) }
func (k *known) remove(id string)   { k.ids.Delete(id) }
