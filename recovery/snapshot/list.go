// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// pageSize is how many records one request of a list brings: some 1.5 KB each.
const pageSize = 500

// Filter selects snapshots; an empty field selects all.
type Filter struct {
	// Resource of the objects.
	Resource schema.GroupResource
	// Namespace of the objects.
	Namespace string
	// Name of the objects.
	Name string
	// UID of the object.
	UID types.UID
}

func (f Filter) matches(r *Record) bool {
	return (f.Resource.Empty() || f.Resource.String() == r.Resource) &&
		(f.Namespace == "" || f.Namespace == r.Namespace) &&
		(f.Name == "" || f.Name == r.Name) &&
		(f.UID == "" || f.UID == r.UID)
}

// all says that the filter selects everything.
func (f Filter) all() bool { return f == Filter{} }

func (f Filter) labelSelector() string {
	if f.UID != "" {
		return labelUID + "=" + labelValue(string(f.UID))
	}
	return labelSnapshot
}

// List is the records that f selects, newest first, without reading payloads.
// A record whose metadata cannot be read has a Problem; since it cannot be
// told what it is of, only a filter that selects everything shows it.
func (s *Store) List(ctx context.Context, f Filter) ([]Record, error) {
	return s.list(ctx, f.labelSelector(), f)
}

// Find is the records of one object, newest first, whatever UIDs it had. An
// empty namespace means that the object has none.
func (s *Store) Find(ctx context.Context, gr schema.GroupResource, namespace, name string) ([]Record, error) {
	selector := labelObject + "=" + objectLabel(gr.String(), namespace, name)
	return s.list(ctx, selector, Filter{Resource: gr, Namespace: namespace, Name: name})
}

func (s *Store) list(ctx context.Context, selector string, f Filter) ([]Record, error) {
	var records []Record
	err := s.eachSecret(ctx, selector, func() { records = nil }, func(m metav1.Object) {
		r := describe(m)
		if f.matches(&r) || f.all() {
			records = append(records, r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(b.LastAt().Compare(a.LastAt()), strings.Compare(a.Path(), b.Path()))
	})
	supersede(records)
	return records, nil
}

// eachSecret calls each with the metadata of the Secrets that selector selects,
// page by page. When it must begin anew it calls restart first.
func (s *Store) eachSecret(ctx context.Context, selector string, restart func(), each func(metav1.Object)) error {
	opts := metav1.ListOptions{
		LabelSelector: selector,
		FieldSelector: "type=" + string(SecretType),
		Limit:         pageSize,
	}
	for {
		page, err := s.metadata.Resource(secretsResource()).Namespace(s.namespace).List(ctx, opts)
		if apierrors.IsResourceExpired(err) && opts.Continue != "" {
			// The list took longer than the server keeps old states: start over.
			opts.Continue = ""
			restart()
			continue
		}
		if err != nil {
			return err
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return nil
		}
	}
}

// Get is snapshot id with its payload, verified. The error is an ErrNotFound,
// an ErrDamaged, or that of the API server.
func (s *Store) Get(ctx context.Context, id string) (*Snapshot, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	secret, err := s.secret(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.read(ctx, secret)
}

// read is the snapshot that head, the Secret of that name, makes.
func (s *Store) read(ctx context.Context, head *corev1.Secret) (*Snapshot, error) {
	record, err := readRecord(head)
	if err != nil {
		return nil, err
	}
	payload, err := s.gather(ctx, head, record.Chunks)
	if err != nil {
		return nil, err
	}
	return s.codec.decode(head, record, payload)
}

func (s *Store) secret(ctx context.Context, id string) (*corev1.Secret, error) {
	secret, err := s.secrets().Get(ctx, namePrefix+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("get snapshot %q: %w", id, err)
	}
	return secret, nil
}

// Describe is the record of snapshot id, without its payload. The error is an
// ErrNotFound or that of the API server.
func (s *Store) Describe(ctx context.Context, id string) (Record, error) {
	if !ValidID(id) {
		return Record{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	m, err := s.metadata.Resource(secretsResource()).Namespace(s.namespace).Get(ctx, namePrefix+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Record{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return Record{}, fmt.Errorf("get snapshot %q: %w", id, err)
	}
	return describe(m), nil
}

// OwnerOf is the ID of the snapshot that a Secret of that metadata makes or is a
// part of, by its name, which cannot be edited; false if it is neither.
func OwnerOf(m metav1.Object) (string, bool) {
	name := m.GetName()
	if id, ok := strings.CutPrefix(name, namePrefix); ok && ValidID(id) {
		return id, true
	}
	if rest, ok := strings.CutPrefix(name, chunkPrefix); ok {
		id, _, _ := strings.Cut(rest, "-")
		return id, ValidID(id)
	}
	return "", false
}
