// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// view is the tables that a question is answered from; a kind that is not
// installed has none. The caller sees to it that they do not change meanwhile.
type view struct {
	plan   *plan
	tables map[schema.GroupResource]*table
}

// pin is a target at one revision.
type pin struct {
	resource        schema.GroupResource
	namespace, name string
	revision        string
}

// use answers who refers to target. A certain referrer decides; only without
// one does it matter that something could not be read. The time it takes does
// not grow with the number of referrers, but with limit and with the number of
// objects that name target in an older revision.
func (v *view) use(target guard.Target, limit int) (guard.Use, error) {
	var use guard.Use
	var doubt error
	for _, kind := range v.plan.referring(target.Resource) {
		t := v.tables[kind]
		if t == nil {
			continue
		}
		key := bucketKey{resource: target.Resource, namespace: target.Namespace, name: target.Name}
		if b := t.buckets[key]; b != nil {
			use.Total += len(b.ids)
			use.Terminating += b.terminating
			for _, id := range b.ids[:atMost(len(b.ids), limit)] {
				use.First = append(use.First, t.referrer(id, key))
			}
		}
		older, err := v.older(t, key)
		for _, r := range older {
			use.Total++
			if r.Terminating {
				use.Terminating++
			}
		}
		use.First = append(use.First, older...)
		doubt = cmp.Or(doubt, err, v.doubt(t, target.Resource))
	}
	if use.Total == 0 {
		return guard.Use{}, doubt
	}
	slices.SortFunc(use.First, guard.Referrer.Compare)
	use.First = use.First[:atMost(len(use.First), limit)]
	return use, nil
}

func atMost(n, limit int) int {
	if limit < 0 {
		return n
	}
	return min(n, limit)
}

func (t *table) newReferrer(id uint32) guard.Referrer {
	e := &t.entries[id]
	return guard.Referrer{
		Resource: t.plan.resource, Kind: t.kind, Namespace: e.namespace, Name: e.name, Terminating: e.terminating,
	}
}

// referrer describes the entry that refers to the target of key by its current spec.
func (t *table) referrer(id uint32, key bucketKey) guard.Referrer {
	r := t.newReferrer(id)
	for _, l := range t.entries[id].edges {
		if l.to.key.leadsTo(key) {
			r.Path, r.Revision = t.plan.refs[l.place].ref.Path.String(), l.revision
			break
		}
	}
	return r
}

func (k bucketKey) leadsTo(target bucketKey) bool {
	return k.resource == target.resource && k.name == target.name && k.stored == target.stored &&
		(target.namespace == "" || k.namespace == target.namespace)
}

// older lists the referrers that name the target of key only in an older
// revision which something pins.
func (v *view) older(t *table, key bucketKey) ([]guard.Referrer, error) {
	current := t.buckets[key]
	key.stored = true
	b := t.buckets[key]
	if b == nil {
		return nil, nil
	}
	var found []guard.Referrer
	var doubt error
	for _, id := range b.ids {
		if current != nil {
			if _, too := t.find(current, t.entries[id].objectName); too {
				continue
			}
		}
		for _, l := range t.entries[id].storedLinks(key) {
			by, err := v.pinnedBy(t.pin(id, l.stored), nil)
			doubt = cmp.Or(doubt, err)
			if by == nil {
				continue
			}
			r := t.newReferrer(id)
			r.Path, r.Revision, r.Stored, r.PinnedBy = t.plan.refs[l.place].ref.Path.String(), l.revision, l.stored, by.String()
			found = append(found, r)
			break
		}
	}
	return found, doubt
}

func (t *table) pin(id uint32, revision string) pin {
	e := &t.entries[id]
	return pin{resource: t.plan.resource, namespace: e.namespace, name: e.name, revision: revision}
}

// storedLinks lists the references of e's older revisions to a target, in the
// order of the revisions.
func (e *entry) storedLinks(key bucketKey) []link {
	var links []link
	for _, l := range e.edges {
		if l.to.key.leadsTo(key) {
			links = append(links, l)
		}
	}
	slices.SortStableFunc(links, func(a, b link) int { return compareRevisions(a.stored, b.stored) })
	return links
}

func compareRevisions(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// pinnedBy finds the first object that pins p. It may do so by an older
// revision of its own, if that is pinned in turn; seen ends circles. The error
// tells why nobody was found where somebody might be.
func (v *view) pinnedBy(p pin, seen []pin) (*guard.Referrer, error) {
	if slices.Contains(seen, p) {
		return nil, nil
	}
	seen = append(seen, p)
	var first *guard.Referrer
	var doubt error
	for _, kind := range v.plan.referring(p.resource) {
		t := v.tables[kind]
		if t == nil {
			continue
		}
		key := bucketKey{resource: p.resource, namespace: p.namespace, name: p.name, revision: p.revision}
		if b := t.buckets[key]; b != nil {
			if r := t.newReferrer(b.ids[0]); first == nil || r.Compare(*first) < 0 {
				first = &r
			}
		}
		doubt = cmp.Or(doubt, v.currentDoubt(t, p.resource))
	}
	if first != nil {
		return first, nil
	}
	for _, kind := range v.plan.referring(p.resource) {
		if t := v.tables[kind]; t != nil {
			by, err := v.pinnedByOlder(t, p, seen)
			if by != nil {
				return by, nil
			}
			doubt = cmp.Or(doubt, err)
		}
	}
	return nil, doubt
}

func (v *view) pinnedByOlder(t *table, p pin, seen []pin) (*guard.Referrer, error) {
	key := bucketKey{resource: p.resource, namespace: p.namespace, name: p.name, revision: p.revision, stored: true}
	b := t.buckets[key]
	if b == nil {
		return nil, nil
	}
	var doubt error
	for _, id := range b.ids {
		for _, l := range t.entries[id].storedLinks(key) {
			if l.revision != p.revision && (p.revision != anyRevision || l.revision == "") {
				continue
			}
			by, err := v.pinnedBy(t.pin(id, l.stored), seen)
			if by != nil {
				r := t.newReferrer(id)
				return &r, nil
			}
			doubt = cmp.Or(doubt, err)
		}
	}
	return nil, doubt
}

// currentDoubt is the first object of t whose current references to resource
// cannot be read.
func (v *view) currentDoubt(t *table, resource schema.GroupResource) error {
	return t.firstProblem(func(_ uint32, p problem) (bool, error) {
		return p.stored == "" && t.plan.refs[p.place].target == resource, nil
	})
}

// doubt also counts older revisions that are pinned.
func (v *view) doubt(t *table, resource schema.GroupResource) error {
	return t.firstProblem(func(id uint32, p problem) (bool, error) {
		if p.place != anyPlace && t.plan.refs[p.place].target != resource {
			return false, nil
		}
		if p.stored == "" {
			return true, nil
		}
		by, err := v.pinnedBy(t.pin(id, p.stored), nil)
		return by != nil, err
	})
}

// firstProblem is the problem that counts, of the first object by name.
func (t *table) firstProblem(counts func(uint32, problem) (bool, error)) error {
	var first error
	var name objectName
	for id, problems := range t.odd {
		if first != nil && t.entries[id].compare(name) > 0 {
			continue
		}
		for _, p := range problems {
			yes, err := counts(id, p)
			if err == nil && yes {
				err = fmt.Errorf("read the references of %s: %s", t.newReferrer(id), p.text)
			}
			if err != nil {
				first, name = err, t.entries[id].objectName
				break
			}
		}
	}
	return first
}
