// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// table holds the references of the objects of one kind, by target. It holds
// no objects: a database with two references takes some 300 bytes. It is not
// safe for several goroutines.
type table struct {
	plan *kindPlan
	kind string

	entries []entry
	free    []uint32 // places in entries that may be used again
	byName  map[objectName]uint32
	buckets map[bucketKey]*bucket
	// odd are the entries with problems.
	odd map[uint32][]problem
	// namespaces are the names of namespaces, each kept once.
	namespaces map[string]string
	edges      int
}

// objectName is a struct because no character is safe as a separator.
type objectName struct{ namespace, name string }

type entry struct {
	objectName
	// version is the object's; 0 where it has no order.
	version     uint64
	terminating bool
	edges       []link
}

// link is an edge whose strings are shared with the bucket of its target.
type link struct {
	to       *bucket
	revision string
	stored   string
	place    uint16
}

// bucketKey is a target, or a target at one revision.
type bucketKey struct {
	resource schema.GroupResource
	// namespace is empty for "in any namespace": a cluster-scoped target has
	// none, and then a reference's does not count.
	namespace, name string
	// revision is empty for all references, anyRevision for those that pin any.
	revision string
	// stored selects the references of older revisions.
	stored bool
}

// bucket lists the objects that refer to a target, sorted by namespace and name.
type bucket struct {
	key         bucketKey
	ids         []uint32
	terminating int
}

func newTable(p *kindPlan) *table {
	return &table{
		plan: p, byName: map[objectName]uint32{}, buckets: map[bucketKey]*bucket{},
		odd: map[uint32][]problem{}, namespaces: map[string]string{},
	}
}

func (t *table) len() int { return len(t.byName) }

// set puts in f in place of what was known of its object.
func (t *table) set(f *facts) {
	t.remove(objectName{f.namespace, f.name})
	t.kind = cmp.Or(f.kind, t.kind)
	namespace, ok := t.namespaces[f.namespace]
	if !ok {
		namespace = f.namespace
		t.namespaces[namespace] = namespace
	}
	e := entry{objectName: objectName{namespace, f.name}, version: versionNumber(f.version), terminating: f.terminating}
	id := t.place(e)
	if len(f.problems) > 0 {
		t.odd[id] = f.problems
	}
	if len(f.edges) == 0 {
		return
	}
	e.edges = make([]link, 0, len(f.edges))
	for _, edge := range f.edges {
		key := bucketKey{resource: t.plan.refs[edge.place].target, namespace: edge.namespace, name: edge.name, stored: edge.stored != ""}
		if t.isSelf(key, f) {
			continue
		}
		e.edges = append(e.edges, link{to: t.bucket(key), place: edge.place, revision: edge.revision, stored: edge.stored})
		for _, key := range keysOf(key, edge.revision) {
			t.join(t.bucket(key), id, f.terminating)
		}
	}
	t.entries[id].edges = e.edges
	t.edges += len(e.edges)
}

func (t *table) place(e entry) uint32 {
	var id uint32
	if n := len(t.free); n > 0 {
		id, t.free = t.free[n-1], t.free[:n-1]
		t.entries[id] = e
	} else {
		id = uint32(len(t.entries)) //nolint:gosec // no API server holds that many objects
		t.entries = append(t.entries, e)
	}
	t.byName[e.objectName] = id
	return id
}

// remove forgets an object.
func (t *table) remove(name objectName) {
	id, ok := t.byName[name]
	if !ok {
		return
	}
	e := t.entries[id]
	for _, l := range e.edges {
		for _, key := range keysOf(l.to.key, l.revision) {
			if b := t.buckets[key]; b != nil {
				t.leave(b, id, e.terminating)
			}
		}
	}
	t.edges -= len(e.edges)
	delete(t.byName, name)
	delete(t.odd, id)
	t.entries[id] = entry{}
	t.free = append(t.free, id)
}

// isSelf tells an object that names itself, which does not keep it. Where it
// has no namespace, the one that it writes does not count.
func (t *table) isSelf(key bucketKey, f *facts) bool {
	return key.resource == t.plan.resource && key.name == f.name && (key.namespace == f.namespace || f.namespace == "")
}

// keysOf lists the buckets that a reference stands in.
func keysOf(key bucketKey, revision string) []bucketKey {
	keys := make([]bucketKey, 1, 6)
	keys[0] = key
	if key.namespace != "" {
		key.namespace = ""
		keys = append(keys, key)
	}
	if revision != "" {
		for _, key := range keys {
			pinned, pinnedAny := key, key
			pinned.revision, pinnedAny.revision = revision, anyRevision
			keys = append(keys, pinned, pinnedAny)
		}
	}
	return keys
}

func (t *table) bucket(key bucketKey) *bucket {
	b := t.buckets[key]
	if b == nil {
		b = &bucket{key: key}
		t.buckets[key] = b
	}
	return b
}

func (t *table) find(b *bucket, name objectName) (int, bool) {
	return slices.BinarySearchFunc(b.ids, name, func(id uint32, name objectName) int {
		return t.entries[id].compare(name)
	})
}

func (t *table) join(b *bucket, id uint32, terminating bool) {
	i, there := t.find(b, t.entries[id].objectName)
	if there {
		return // two references to one target
	}
	b.ids = slices.Insert(b.ids, i, id)
	if terminating {
		b.terminating++
	}
}

func (t *table) leave(b *bucket, id uint32, terminating bool) {
	i, there := t.find(b, t.entries[id].objectName)
	if !there {
		return
	}
	b.ids = slices.Delete(b.ids, i, i+1)
	if terminating {
		b.terminating--
	}
	if len(b.ids) == 0 {
		delete(t.buckets, b.key)
	}
}

func (n objectName) compare(other objectName) int {
	return cmp.Or(cmp.Compare(n.namespace, other.namespace), cmp.Compare(n.name, other.name))
}
