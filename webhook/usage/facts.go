// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// facts is what is kept of one object: who it is and what it names.
type facts struct {
	kind            string
	namespace, name string
	version         string // resourceVersion
	terminating     bool
	edges           []edge
	problems        []problem
}

// edge is one reference.
type edge struct {
	place           uint16 // index into kindPlan.refs
	namespace, name string
	revision        string // that it pins, if any
	// stored is the older revision of the object that holds the reference;
	// empty for its current spec.
	stored string
}

// problem is what could not be read.
type problem struct {
	// place is the reference path; anyPlace when it is not known which.
	place  int
	stored string // as in edge; anyRevision when it is not known which
	text   string
}

const (
	anyPlace    = -1
	anyRevision = "*"
)

// read takes out of object what is kept of it.
func (k *kindPlan) read(object *unstructured.Unstructured) *facts {
	// The decoder's strings may share one large buffer, which they would keep alive.
	f := &facts{
		kind: object.GetKind(), namespace: strings.Clone(object.GetNamespace()), name: strings.Clone(object.GetName()),
		version: object.GetResourceVersion(), terminating: object.GetDeletionTimestamp() != nil,
	}
	k.readSpec(f, object, "")
	if k.revisions == nil {
		return f
	}
	for _, r := range k.revisions.Of(object) {
		switch {
		case r.Err != nil && r.Number == "":
			f.problems = append(f.problems, problem{place: anyPlace, stored: anyRevision, text: r.Err.Error()})
		case r.Err != nil:
			f.problems = append(f.problems, problem{place: anyPlace, stored: r.Number, text: r.Err.Error()})
		default:
			k.readSpec(f, r.Object, r.Number)
		}
	}
	return f
}

func (k *kindPlan) readSpec(f *facts, object *unstructured.Unstructured, stored string) {
	for i, place := range k.refs {
		hits, err := place.ref.Hits(object)
		if err != nil {
			f.problems = append(f.problems, problem{place: i, stored: stored, text: err.Error()})
			continue
		}
		for _, hit := range hits {
			f.edges = append(f.edges, edge{
				place: uint16(i),
				name:  strings.Clone(hit.Name), namespace: strings.Clone(hit.Namespace),
				revision: strings.Clone(hit.Revision), stored: strings.Clone(stored),
			})
		}
	}
}

var (
	_ runtime.Object            = (*facts)(nil)
	_ metav1.ObjectMetaAccessor = (*facts)(nil)
)

// GetObjectKind implements runtime.Object, as a reflector demands.
func (f *facts) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Facts never change, so they are
// their own copy.
func (f *facts) DeepCopyObject() runtime.Object { return f }

// GetObjectMeta gives what a reflector asks of an object, made when it is asked
// for: kept, it would be most of the memory.
func (f *facts) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: f.namespace, Name: f.name, ResourceVersion: f.version}
}
