// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// chunkSize is how much of a payload one Secret holds. It leaves room for
	// the record below the 1 MiB that the data of a Secret may have.
	chunkSize = 900 << 10
	// maxChunks bounds what a changed record can make a reader fetch.
	maxChunks = 2 + maxObject/chunkSize

	chunkPrefix = "holdfast-chunk-"
	// labelChunk names the snapshot that a chunk belongs to.
	labelChunk = "holdfast.dev/chunk-of"
	// annotationWritten is when a chunk was written last. Its age tells the
	// rest of a torn write from a write that is under way.
	annotationWritten = "holdfast.dev/written-at"
	dataChunk         = "chunk"
)

// split cuts payload into what the snapshot's own Secret holds and the chunks
// for the rest. The name of a chunk follows from its content, by the key, so
// that writers that compress differently never overwrite each other's.
func (s *Store) split(key []byte, id string, payload []byte) (first []byte, chunks []*corev1.Secret) {
	if len(payload) <= chunkSize {
		return payload, nil
	}
	written := s.now().UTC().Format(time.RFC3339)
	for piece := range slices.Chunk(payload[chunkSize:], chunkSize) {
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "chunk\n%s\n%d\n", id, len(chunks)) // a hash never fails
		_, _ = mac.Write(piece)
		chunks = append(chunks, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name:        chunkPrefix + id + "-" + lowerBase32(mac.Sum(nil))[:idLength],
				Labels:      map[string]string{labelManagedBy: "holdfast", labelChunk: id},
				Annotations: map[string]string{annotationWritten: written},
			},
			Type: SecretType,
			Data: map[string][]byte{dataFormat: []byte(formatChunked), dataChunk: piece},
		})
	}
	return payload[:chunkSize], chunks
}

// createChunks writes what is not there yet, and says whether anything was.
func (s *Store) createChunks(ctx context.Context, chunks []*corev1.Secret) (found bool, err error) {
	for _, chunk := range chunks {
		_, err := s.secrets().Create(ctx, chunk, metav1.CreateOptions{FieldManager: fieldManager})
		switch {
		case apierrors.IsAlreadyExists(err):
			found = true
		case err != nil:
			return found, err
		}
	}
	return found, nil
}

// mendChunks makes sure of all chunks, those of somebody's torn write included:
// they are written anew, so that nobody takes them for old ones and sweeps them.
func (s *Store) mendChunks(ctx context.Context, chunks []*corev1.Secret) error {
	for _, chunk := range chunks {
		if err := s.mendChunk(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) mendChunk(ctx context.Context, chunk *corev1.Secret) error {
	for range saveTries {
		old, err := s.secrets().Get(ctx, chunk.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = s.secrets().Create(ctx, chunk, metav1.CreateOptions{FieldManager: fieldManager})
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			return err
		}
		if err != nil {
			return err
		}
		if old.Type != SecretType {
			return fmt.Errorf("secret %q in namespace %q is in the way and no part of a snapshot; remove or rename it", chunk.Name, s.namespace)
		}
		mended := chunk.DeepCopy()
		mended.ResourceVersion = old.ResourceVersion
		_, err = s.secrets().Update(ctx, mended, metav1.UpdateOptions{FieldManager: fieldManager})
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return fmt.Errorf("gave up after %d tries: somebody else keeps writing to Secret %q", saveTries, chunk.Name)
}

// gather is the whole payload of the snapshot in head. A part that is missing
// or none is damage; any other error is that of the API server.
func (s *Store) gather(ctx context.Context, head *corev1.Secret, chunks []string) ([]byte, error) {
	payload := head.Data[dataObject]
	if len(chunks) == 0 {
		return payload, nil
	}
	id := idOf(head)
	if len(chunks) > maxChunks {
		return nil, fmt.Errorf("%w: %s: its record names %d parts, more than any object needs; use another snapshot of the object", ErrDamaged, id, len(chunks))
	}
	payload = bytes.Clone(payload)
	for i, name := range chunks {
		lost := func(problem string) error {
			return fmt.Errorf("%w: %s: part %d of %d %s; use another snapshot of the object", ErrDamaged, id, i+2, len(chunks)+1, problem)
		}
		if !strings.HasPrefix(name, chunkPrefix+id+"-") {
			return nil, lost("has the name of something else")
		}
		chunk, err := s.secrets().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, lost("is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("get part of snapshot %q: %w", id, err)
		}
		if chunk.Type != SecretType || len(chunk.Data[dataChunk]) == 0 {
			return nil, lost("was changed or cut off")
		}
		payload = append(payload, chunk.Data[dataChunk]...)
	}
	return payload, nil
}

func namesOf(secrets []*corev1.Secret) []string {
	var names []string
	for _, s := range secrets {
		names = append(names, s.Name)
	}
	return names
}
