// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Hit is what a reference path finds in one referrer: the name of a guarded object.
type Hit struct {
	// Namespace is as written, or the referrer's where none is written; empty
	// for a cluster-scoped referrer that writes none.
	Namespace string
	Name      string
	// Revision is the pinned revision, if any.
	Revision string
}

// Names tells whether the hit names the object namespace/name; for a
// cluster-scoped object (empty namespace) the hit's namespace does not count.
func (h Hit) Names(namespace, name string) bool {
	return h.Name == name && (namespace == "" || h.Namespace == namespace)
}

// Hits gives the guarded objects that referrer names at this reference. Absent,
// null and empty references are none. A reference of another shape is an
// error: whether it means something must not be guessed.
func (r Reference) Hits(referrer *unstructured.Unstructured) ([]Hit, error) {
	values, err := r.Path.Find(referrer.Object)
	if err != nil {
		return nil, err
	}
	var hits []Hit
	for _, v := range values {
		hit, err := readHit(v)
		if err != nil {
			return nil, fmt.Errorf("path %s: %w", r.Path, err)
		}
		if hit.Name == "" {
			continue
		}
		if hit.Namespace == "" {
			hit.Namespace = referrer.GetNamespace()
		}
		hits = append(hits, hit)
	}
	return hits, nil
}

func readHit(value any) (Hit, error) {
	switch v := value.(type) {
	case nil:
		return Hit{}, nil
	case string:
		return Hit{Name: v}, nil
	case map[string]any:
		var hit Hit
		for key, into := range map[string]*string{"name": &hit.Name, "namespace": &hit.Namespace, "revision": &hit.Revision} {
			text, err := readText(v[key])
			if err != nil {
				return Hit{}, fmt.Errorf("%s of the reference %w", key, err)
			}
			*into = text
		}
		return hit, nil
	case []any:
		return Hit{}, fmt.Errorf("the value is a list; end the path with [*] to take its items")
	default:
		return Hit{}, fmt.Errorf("the value is a %T; a reference is an object with a name, or a string", value)
	}
}

func readText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case int64:
		// A revision may be written as a number.
		return fmt.Sprint(v), nil
	default:
		return "", fmt.Errorf("is a %T, not a string", value)
	}
}
