// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Stored is what the metadata of one Secret of the store tells: of a snapshot
// or of a set. The other one is nil; both are for a Secret of another kind.
type Stored struct {
	Snapshot *Record
	Set      *SetRecord
}

// ReadStored tells what m, the metadata of a Secret, holds.
func ReadStored(m metav1.Object) Stored {
	switch name := m.GetName(); {
	case strings.HasPrefix(name, setPrefix) && ValidID(name[len(setPrefix):]):
		r := describeSet(m)
		return Stored{Set: &r}
	case strings.HasPrefix(name, namePrefix) && ValidID(name[len(namePrefix):]):
		r := describe(m)
		return Stored{Snapshot: &r}
	default:
		return Stored{}
	}
}

// ListStored and WatchStored give the metadata of everything that is stored,
// for whoever follows it.
func (s *Store) ListStored(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	opts.FieldSelector = "type=" + string(SecretType)
	return s.metadata.Resource(secretsResource()).Namespace(s.namespace).List(ctx, opts)
}

// WatchStored is the watch that goes with ListStored.
func (s *Store) WatchStored(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.FieldSelector = "type=" + string(SecretType)
	return s.metadata.Resource(secretsResource()).Namespace(s.namespace).Watch(ctx, opts)
}

// Learn tells the store that snapshot id is there, Forget that it is not.
func (s *Store) Learn(id string) { s.known.add(id) }

// Forget is the opposite of Learn.
func (s *Store) Forget(id string) { s.known.remove(id) }
