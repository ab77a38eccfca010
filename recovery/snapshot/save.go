// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Save stores obj, an object of resource gr as the API server gave it out. When it returns
// without error, a readable snapshot of exactly this UID and content is there.
// A version that is new costs one write, and one for each further 900 KiB; the
// last of them makes it a snapshot, so that a write that is cut off leaves none.
// One that is there already is read back and verified, replaced if it is damaged, and p is noted as the latest
// attempt. ErrTooLarge means that obj can never be stored.
func (s *Store) Save(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p Provenance) (Record, error) {
	v, err := s.version(ctx, gr, obj, p)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	if s.known.has(v.record.ID) {
		record, err := s.noteKnown(ctx, v)
		if err == nil {
			return record, nil
		}
		if ctx.Err() != nil {
			return Record{}, fmt.Errorf("save snapshot: %w", err)
		} // whatever else it is, writing it finds out
	}
	v, sealed, err := s.seal(ctx, v)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	record, err := s.write(ctx, v.record, sealed)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	s.known.add(record.ID)
	return record, nil
}

// seal packs a version for the store.
func (s *Store) seal(ctx context.Context, v version) (version, sealed, error) {
	key, err := s.digestKey(ctx)
	if err != nil {
		return v, sealed{}, err
	}
	payload, err := s.codec.compress(v.raw)
	if err != nil {
		return v, sealed{}, err
	}
	first, chunks := s.split(key, v.record.ID, payload)
	v.record.Stored, v.record.Chunks = len(payload), namesOf(chunks)
	secret, err := head(v.record, payload, first)
	return v, sealed{secret, chunks, v.content}, err
}

// sealed is a snapshot ready to be stored.
type sealed struct {
	head    *corev1.Secret
	chunks  []*corev1.Secret
	content []byte // what it must turn out to hold
}

// write creates the Secrets of record, or makes sure that those in their place
// are as good.
func (s *Store) write(ctx context.Context, record Record, sealed sealed) (Record, error) {
	// Where a part is, the rest is most likely too, and need not be sent again.
	there, err := s.createChunks(ctx, sealed.chunks)
	if err != nil {
		return Record{}, err
	}
	for range saveTries {
		if !there {
			_, err := s.secrets().Create(ctx, sealed.head, metav1.CreateOptions{FieldManager: fieldManager})
			if err == nil {
				return record, nil
			}
			if !apierrors.IsAlreadyExists(err) {
				return Record{}, err
			}
		}
		there = false
		settled, done, err := s.settle(ctx, record, sealed)
		if err != nil {
			return Record{}, err
		}
		if done {
			return settled, nil
		}
	}
	return Record{}, fmt.Errorf("gave up after %d tries: somebody else keeps writing to Secret %q", saveTries, sealed.head.Name)
}

// settle makes sure that what is in the place of record is as good; it reports
// false if that has to be tried again, because somebody was quicker.
func (s *Store) settle(ctx context.Context, record Record, sealed sealed) (Record, bool, error) {
	old, err := s.secret(ctx, record.ID)
	if errors.Is(err, ErrNotFound) {
		return Record{}, false, s.mendChunks(ctx, sealed.chunks)
	}
	if err != nil {
		return Record{}, false, err
	}
	existing, err := s.sound(ctx, old, sealed.content)
	if err == nil {
		noted, err := s.noteAttempt(ctx, *existing, record)
		if !apierrors.IsNotFound(err) {
			return noted, true, err
		}
		// Retention took it away that very moment.
		return Record{}, false, s.mendChunks(ctx, sealed.chunks)
	}
	if !errors.Is(err, ErrDamaged) {
		return Record{}, false, err
	}
	if err := s.mendChunks(ctx, sealed.chunks); err != nil {
		return Record{}, false, err
	}
	done, err := s.replace(ctx, old, sealed.head)
	return record, done, err
}

// sound is the record of a Secret that holds this very content; otherwise the
// error is an ErrDamaged.
func (s *Store) sound(ctx context.Context, secret *corev1.Secret, content []byte) (*Record, error) {
	if secret.Type != SecretType {
		return nil, fmt.Errorf("secret %q in namespace %q is in the way and no snapshot; remove or rename it", secret.Name, s.namespace)
	}
	snap, err := s.read(ctx, secret)
	if err != nil {
		return nil, err
	}
	stored, err := canonical(snap.Object)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(stored, content) {
		return nil, fmt.Errorf("%w: %s: it holds another version than its name says", ErrDamaged, snap.ID)
	}
	return &snap.Record, nil
}

// replace puts secret in the place of old, which is damaged, in one write; a
// recovery that began from old, and a pin, are still noted on it. It reports false if
// somebody else was quicker.
func (s *Store) replace(ctx context.Context, old, secret *corev1.Secret) (bool, error) {
	mended := secret.DeepCopy()
	mended.ResourceVersion = old.ResourceVersion
	for _, note := range []string{annotationJournal, annotationPin} {
		if _, has := mended.Annotations[note]; !has && old.Annotations[note] != "" {
			mended.Annotations[note] = old.Annotations[note]
		}
	}
	_, err := s.secrets().Update(ctx, mended, metav1.UpdateOptions{FieldManager: fieldManager})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	default:
		return false, fmt.Errorf("replace damaged snapshot: %w; if that cannot be mended, delete Secret %q in namespace %q", err, secret.Name, s.namespace)
	}
}

// noteAttempt notes on an existing snapshot who tried last, and the journal if
// there is one. The version is safe whether the attempt can be noted or not, so
// trouble with that is only logged; a journal must be there. If the snapshot is
// gone meanwhile, the error says NotFound.
func (s *Store) noteAttempt(ctx context.Context, existing, latest Record) (Record, error) {
	notes := notesOf(latest)
	if !existing.State.follows(latest.State) {
		// It is as it is; only that it was tried is news.
		delete(notes, annotationState)
	}
	err := s.annotate(ctx, existing.ID, notes)
	if apierrors.IsNotFound(err) {
		return Record{}, err
	}
	if err != nil && latest.Journal != nil {
		return Record{}, fmt.Errorf("write journal of snapshot %s: %w", existing.ID, err)
	}
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "Latest attempt not noted", "snapshot", existing.ID)
		return existing, nil
	}
	existing.LastAttempt = attemptOf(latest)
	if notes[annotationState] != nil {
		existing.setStatus(*latest.status())
	}
	if latest.Journal != nil {
		existing.Journal = latest.Journal
	}
	return existing, nil
}
