// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/config/release"
)

const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedByHelm  = "Helm"
)

// mapping is the resource of an object; nil when the cluster has none.
func (h *Helm) mapping(ctx context.Context, o *Object) (*meta.RESTMapping, error) {
	gvk := o.object.GroupVersionKind()
	mapping, err := h.Mapper.RESTMappingWithContext(ctx, gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up kind %s: %w", gvk, err)
	}
	return mapping, nil
}

// place gives a namespaced object that names none the release's namespace, as
// Helm does, and takes it from one that has no use for it.
func (o *Object) place(mapping *meta.RESTMapping, namespace string) {
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		o.Namespace = cmp.Or(o.Namespace, namespace)
	} else {
		o.Namespace = ""
	}
	o.object.SetNamespace(o.Namespace)
}

func (h *Helm) client(mapping *meta.RESTMapping, o *Object) dynamic.ResourceInterface {
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return h.Client.Resource(mapping.Resource).Namespace(o.Namespace)
	}
	return h.Client.Resource(mapping.Resource)
}

// defines says that a definition of the release makes o's kind known.
func (p *Plan) defines(o *Object) bool {
	gvk := o.object.GroupVersionKind()
	return slices.ContainsFunc(p.Objects, func(other *Object) bool {
		if !other.definition() {
			return false
		}
		group, _, _ := unstructured.NestedString(other.object.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(other.object.Object, "spec", "names", "kind")
		return schema.GroupKind{Group: group, Kind: kind} == gvk.GroupKind()
	})
}

// judge decides what becomes of an object that is there.
func (h *Helm) judge(ctx context.Context, p *Plan, o *Object, live *unstructured.Unstructured) error {
	owner, owned := release.Of(live)
	switch {
	case live.GetDeletionTimestamp() != nil:
		o.Presence = Going
		p.noteStuck(o, live)
		return nil
	case o.Hook != "" || o.Definition, owned && owner == p.Key() && live.GetLabels()[managedByLabel] == managedByHelm:
		o.Presence = Present
	case owned && owner != p.Key():
		others, err := h.revisions(ctx, owner)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			p.Refused = fmt.Sprintf("%s belongs to another Helm release, %s, which exists; uninstall or rename one of the two", o, owner)
			return nil
		}
		o.Presence = Adopted
		p.note("%s belonged to the Helm release %s, which is gone; it becomes this one's", o, owner)
	default:
		o.Presence = Adopted
	}
	if o.definition() && newer(live, o.object) {
		o.Presence = Newer
		p.note("%s has versions that the release does not know; it stays as it is, and becomes the release's", o)
	}
	return nil
}

// noteStuck says how a definition goes that the API server cannot take away
// without the conversion webhook of the very operator that waits for it.
func (p *Plan) noteStuck(o *Object, live *unstructured.Unstructured) {
	conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if reason := condition["reason"]; o.definition() && condition["type"] == "Terminating" && reason == "InstanceDeletionFailed" {
			p.note(`%s is Terminating and stuck (%s: %s) and will be waited for; save its objects ('holdfast recovery snapshot'), then let them be deleted without the operator: kubectl patch crd %s --type=merge -p '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'`,
				o, reason, condition["message"], o.Name)
		}
	}
}

// newer says that a live definition has versions that ours lacks: the API
// server would refuse to drop one that objects may be stored in, and whoever
// added it had reason to.
func newer(live, ours *unstructured.Unstructured) bool {
	known := versions(ours)
	return slices.ContainsFunc(versions(live), func(v string) bool { return !slices.Contains(known, v) })
}

func versions(crd *unstructured.Unstructured) []string {
	list, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	var names []string
	for _, v := range list {
		if version, ok := v.(map[string]any); ok {
			name, _ := version["name"].(string)
			names = append(names, name)
		}
	}
	return names
}

// marks are the labels and annotations by which Helm knows an object again.
func (p *Plan) marks() (labels, annotations map[string]string) {
	return map[string]string{managedByLabel: managedByHelm},
		map[string]string{release.NameAnnotation: p.Name, release.NamespaceAnnotation: p.Namespace}
}

// owned is the object with the marks by which Helm knows it again.
func (p *Plan) owned(o *Object) *unstructured.Unstructured {
	marked := o.object.DeepCopy()
	if o.Definition || o.Hook != "" {
		return marked
	}
	labels, annotations := p.marks()
	marked.SetLabels(merged(marked.GetLabels(), labels))
	marked.SetAnnotations(merged(marked.GetAnnotations(), annotations))
	return marked
}

func merged(into, from map[string]string) map[string]string {
	all := maps.Clone(from)
	for key, value := range into {
		if _, ours := from[key]; !ours {
			all[key] = value
		}
	}
	return all
}
