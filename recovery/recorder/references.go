// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// referrer is what is kept of an object that may name others.
type referrer struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	hits []profile.Hit
}

// DeepCopyObject implements runtime.Object; a referrer never changes.
func (r *referrer) DeepCopyObject() runtime.Object { return r }

// references follows who names objects by one path, by name only, because there
// may be very many.
type references struct {
	member profile.Member
	// of is the resource of the objects that are named.
	of schema.GroupResource
	// changed is told of the objects that may have got or lost a referrer.
	changed func(of schema.GroupResource, hits []profile.Hit)

	mu     sync.Mutex
	synced bool
	known  map[profile.Name]*referrer
	// naming are the referrers by the name that they name.
	naming map[string]map[profile.Name]*referrer
}

// shrink keeps of an object who it is and whom it names. A reference of an odd
// shape is none here: the guard judges what it means.
func (r *references) shrink(object any) (any, error) {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	small := &referrer{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion()}}
	if hits, err := r.member.Hits(o); err == nil {
		small.hits = hits
	}
	return small, nil
}

func (r *references) all(objects []metav1.Object) {
	r.mu.Lock()
	old := r.known
	r.known, r.naming, r.synced = map[profile.Name]*referrer{}, map[string]map[profile.Name]*referrer{}, true
	var hits []profile.Hit
	for _, o := range objects {
		if one, ok := o.(*referrer); ok {
			r.put(one)
			if before := old[r.nameOf(one)]; before == nil || before.ResourceVersion != one.ResourceVersion {
				hits = append(hits, one.hits...)
			}
		}
	}
	for name, one := range old {
		if r.known[name] == nil {
			hits = append(hits, one.hits...)
		}
	}
	r.mu.Unlock()
	r.changed(r.of, hits)
}

func (r *references) one(object metav1.Object) {
	one, ok := object.(*referrer)
	if !ok {
		return
	}
	r.mu.Lock()
	hits := append(r.remove(r.nameOf(one)), one.hits...)
	r.put(one)
	r.mu.Unlock()
	r.changed(r.of, hits)
}

func (r *references) gone(object metav1.Object) {
	one, ok := object.(*referrer)
	if !ok {
		return
	}
	r.mu.Lock()
	hits := r.remove(r.nameOf(one))
	r.mu.Unlock()
	r.changed(r.of, hits)
}

func (r *references) nameOf(one *referrer) profile.Name {
	return profile.Name{Resource: r.member.Resource, Namespace: one.Namespace, Name: one.Name}
}

func (r *references) put(one *referrer) {
	name := r.nameOf(one)
	if r.known == nil {
		r.known, r.naming = map[profile.Name]*referrer{}, map[string]map[profile.Name]*referrer{}
	}
	r.known[name] = one
	for _, hit := range one.hits {
		if r.naming[hit.Name] == nil {
			r.naming[hit.Name] = map[profile.Name]*referrer{}
		}
		r.naming[hit.Name][name] = one
	}
}

// remove forgets a referrer and gives back what it named.
func (r *references) remove(name profile.Name) []profile.Hit {
	one := r.known[name]
	if one == nil {
		return nil
	}
	delete(r.known, name)
	for _, hit := range one.hits {
		delete(r.naming[hit.Name], name)
		if len(r.naming[hit.Name]) == 0 {
			delete(r.naming, hit.Name)
		}
	}
	return one.hits
}

// naming are the referrers of target; ok is false until all were read once.
func (r *references) who(target profile.Name) (found []profile.Found, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.synced {
		return nil, false
	}
	for name, one := range r.naming[target.Name] {
		for _, hit := range one.hits {
			if hit.Names(target.Namespace, target.Name) {
				found = append(found, profile.Found{Name: name, UID: one.UID, ResourceVersion: one.ResourceVersion, Revision: hit.Revision})
				break
			}
		}
	}
	return found, true
}
