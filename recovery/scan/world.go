// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// world is the picture of a cluster that is judged.
type world struct {
	profiles *profile.Set
	rescued  schema.GroupResource
	kinds    map[schema.GroupResource]*kind
	edges    []edge
	// records are the snapshots, newest first; nil with recordsUnknown.
	records        []snapshot.Record
	recordsUnknown bool
	hooks          []hook
	// services are those that hooks lead to and that exist.
	services map[types.NamespacedName]bool
	// owned are objects of built-in kinds with ownerReferences to guarded kinds.
	owned []ownedObject
	// secrets are those in the namespaces of guarded objects.
	secrets  map[types.NamespacedName]types.UID
	replaced []replacedSecret
	releases []*helmRelease
	managed  []managedObject
	// sets are those that missing objects have to come back by, by UID.
	sets       map[types.UID]string
	unfinished []*journal.State
	// own is the webhook configuration of Holdfast itself.
	own     marks
	unknown []string
}

// kind is one resource that a profile names.
type kind struct {
	resource   schema.GroupResource
	definition *apiextensionsv1.CustomResourceDefinition // nil: not installed, or not a custom resource
	// version is the one in which the objects could be read; empty if none could.
	version string
	// broken says why a served version could not be read, by version.
	broken  map[string]error
	objects map[types.NamespacedName]*object
}

// object is what is kept of an object of a profile's kinds.
type object struct {
	types.NamespacedName
	uid         types.UID
	terminating *time.Time
	finalizers  []string
	owned       bool // it has ownerReferences
	manager     string
	revisions   map[string]bool // nil: its kind keeps none, or they cannot be read
}

// edge is a reference from an object to a guarded one.
type edge struct {
	from     schema.GroupResource
	referrer types.NamespacedName
	to       schema.GroupResource
	target   types.NamespacedName
	revision string
}

// hook is one entry of a webhook configuration.
type hook struct {
	resource, configuration, name string
	service                       *types.NamespacedName
	blocks                        bool // failurePolicy Fail
	guarded                       []string
}

// marks are of an object that may be there.
type marks struct {
	there               bool
	labels, annotations map[string]string
}

// managedObject is a missing object that a GitOps tool has written.
type managedObject struct {
	manager string
	saved   snapshot.Record
}

// ownedObject is an object with an ownerReference to a guarded kind.
type ownedObject struct {
	resource string
	types.NamespacedName
	owner metav1.OwnerReference
}

func (w *world) cannot(what string, err error) {
	if err != nil {
		w.unknown = append(w.unknown, fmt.Sprintf("%s: %v", what, err))
	}
}

// sorted gives the kinds in a fixed order.
func (w *world) sorted() []*kind {
	return slices.SortedFunc(maps.Values(w.kinds), func(a, b *kind) int { return cmp.Compare(a.resource.String(), b.resource.String()) })
}

func (k *kind) sorted() []*object {
	return slices.SortedFunc(maps.Values(k.objects), func(a, b *object) int { return cmp.Compare(a.String(), b.String()) })
}

func (k *kind) clustered() bool {
	return k.definition != nil && k.definition.Spec.Scope == apiextensionsv1.ClusterScoped
}

// get is the object of a kind; a cluster-scoped one has no namespace whatever
// a reference writes.
func (k *kind) get(name types.NamespacedName) *object {
	if k.clustered() {
		name.Namespace = ""
	}
	return k.objects[name]
}

// read takes the picture.
func (s *Scanner) read(ctx context.Context) (*world, error) {
	w := &world{profiles: s.Profiles, rescued: s.Rescued, kinds: map[schema.GroupResource]*kind{}, services: map[types.NamespacedName]bool{}, secrets: map[types.NamespacedName]types.UID{}, sets: map[types.UID]string{}}
	for _, gr := range s.resources() {
		k, err := s.readKind(ctx, gr)
		if err != nil {
			return nil, err
		}
		w.kinds[gr] = k
		s.readObjects(ctx, w, k)
	}
	records, err := s.Snapshots.List(ctx, snapshot.Filter{})
	w.records, w.recordsUnknown = records, err != nil
	w.cannot("what was saved", err)
	w.cannot("webhook configurations", s.readHooks(ctx, w))
	s.readOwned(ctx, w)
	s.readReleases(ctx, w)
	s.readReplaced(ctx, w)
	s.readManaged(ctx, w)
	s.readSets(ctx, w)
	if s.Journals != nil {
		w.unfinished, err = s.Journals.Unfinished(ctx)
		w.cannot("unfinished recoveries", err)
	}
	return w, nil
}

// resources are all that profiles name: guarded, or referring.
func (s *Scanner) resources() []schema.GroupResource {
	all := s.Profiles.Referring()
	for _, g := range s.Profiles.Resources() {
		if !slices.Contains(all, g.Resource) {
			all = append(all, g.Resource)
		}
	}
	return all
}

var (
	crdResource        = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	validatingResource = admissionv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations")
	mutatingResource   = admissionv1.SchemeGroupVersion.WithResource("mutatingwebhookconfigurations")
)
