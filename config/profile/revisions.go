// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/base64"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// StoredRevisions reads the older specs that objects keep inside themselves.
type StoredRevisions struct {
	path, number, spec *Path
	encoding           v1alpha1.RevisionEncoding
}

// Revision is an older spec of an object, found inside that object.
type Revision struct {
	// Number is what a reference writes as its revision to pin this one; empty
	// when it cannot be read, so that any pin might mean it.
	Number string
	// Object has the metadata of the object that keeps it, and the older spec.
	Object *unstructured.Unstructured
	// Err says why the spec cannot be read; Object is nil then.
	Err error
}

func newStoredRevisions(s *v1alpha1.StoredRevisions) (*StoredRevisions, error) {
	if s == nil {
		return nil, nil
	}
	var paths [3]*Path
	for i, text := range []string{s.Path, s.Number, s.Spec} {
		path, err := ParsePath(text)
		if err != nil {
			return nil, err
		}
		paths[i] = path
	}
	return &StoredRevisions{path: paths[0], number: paths[1], spec: paths[2], encoding: s.Encoding}, nil
}

// Of lists the revisions that object keeps, in its own order. What cannot be
// read is in the list with its reason: it matters only when it is pinned.
func (s *StoredRevisions) Of(object *unstructured.Unstructured) []Revision {
	values, err := s.path.Find(object.Object)
	if err != nil {
		return []Revision{{Err: err}}
	}
	var revisions []Revision
	for _, v := range values {
		if v == nil {
			continue
		}
		revisions = append(revisions, s.read(object, v))
	}
	return revisions
}

func (s *StoredRevisions) read(object *unstructured.Unstructured, value any) Revision {
	stored, ok := value.(map[string]any)
	if !ok {
		return Revision{Err: fmt.Errorf("path %s: a revision is a %T, not an object", s.path, value)}
	}
	number, err := one(s.number, stored)
	if err == nil && number == nil {
		err = fmt.Errorf("path %s: a revision has no number", s.number)
	}
	var r Revision
	if err == nil {
		if r.Number, err = readText(number); err != nil {
			err = fmt.Errorf("path %s: the number %w", s.number, err)
		}
	}
	if err != nil {
		return Revision{Err: err}
	}
	spec, err := s.decode(stored)
	if err != nil {
		r.Err = fmt.Errorf("revision %s: %w", r.Number, err)
		return r
	}
	r.Object = &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": object.Object["apiVersion"], "kind": object.Object["kind"], "metadata": object.Object["metadata"], "spec": spec,
	}}
	return r
}

func (s *StoredRevisions) decode(stored map[string]any) (map[string]any, error) {
	value, err := one(s.spec, stored)
	if err != nil {
		return nil, err
	}
	if s.encoding == v1alpha1.EncodingJSON {
		spec, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("path %s: the stored spec is a %T, not an object", s.spec, value)
		}
		return spec, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("path %s: the stored spec is a %T, not a text of base64", s.spec, value)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decode stored spec: %w", err)
	}
	var spec map[string]any
	// Unlike encoding/json, it keeps whole numbers whole, as objects read from
	// the API server have them.
	if err := json.Unmarshal(raw, &spec); err != nil {
		return nil, fmt.Errorf("decode stored spec: %w", err)
	}
	if spec == nil {
		return nil, errors.New("decode stored spec: it is empty")
	}
	return spec, nil
}

// one is the single value at path, nil when there is none.
func one(path *Path, object map[string]any) (any, error) {
	values, err := path.Find(object)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	if len(values) > 1 {
		return nil, fmt.Errorf("path %s: %d values where one is expected", path, len(values))
	}
	return values[0], nil
}
