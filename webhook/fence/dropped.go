// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/release"
)

// Object is one object of a manifest. Kind is KIND.GROUP. Whether a kind is
// namespaced the manifest does not say, so an empty namespace may mean that of
// the release.
type Object struct {
	Kind, Namespace, Name string
}

// ids are the ways in which the API server may name o.
func (o Object) ids(releaseNamespace string) []string {
	ids := []string{o.Kind + "/" + o.Namespace + "/" + o.Name}
	if o.Namespace == "" {
		ids = append(ids, o.Kind+"/"+releaseNamespace+"/"+o.Name)
	}
	return ids
}

// droppedOf lists what belonged to some revision and does not belong to the
// release any more: to the one that Helm is about to make, or else neither to
// the one that runs nor to the newest, which an uninstallation would remove.
func droppedOf(revisions []*release.Revision) ([]Object, error) {
	if len(revisions) == 0 {
		return nil, nil
	}
	current, err := release.Current(revisions)
	if err != nil {
		return nil, err
	}
	newest := slices.MaxFunc(revisions, func(a, b *release.Revision) int { return cmp.Compare(a.Number, b.Number) })
	stay := []*release.Revision{current, newest}
	if newest.Status.Pending() {
		stay = []*release.Revision{newest}
	}
	kept := map[Object]bool{}
	for _, r := range stay {
		objects, err := objectsOf(r)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			kept[o] = true
		}
	}
	var dropped []Object
	for _, r := range revisions {
		objects, err := objectsOf(r)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if !kept[o] && !slices.Contains(dropped, o) {
				dropped = append(dropped, o)
			}
		}
	}
	return dropped, nil
}

func objectsOf(r *release.Revision) ([]Object, error) {
	manifest, err := r.Objects()
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, o := range manifest {
		objects = append(objects, objectOf(o, r.Namespace))
	}
	return objects, nil
}

// objectOf writes the namespace of the release as none, so that a manifest that
// says it and one that does not name the same object.
func objectOf(o *unstructured.Unstructured, releaseNamespace string) Object {
	kind := o.GroupVersionKind().Kind
	if group := o.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	namespace := o.GetNamespace()
	if namespace == releaseNamespace {
		namespace = ""
	}
	return Object{Kind: kind, Namespace: namespace, Name: o.GetName()}
}
