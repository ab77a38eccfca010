// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package fence finds out which releases have to be kept whole: those that own
// definitions of which instances exist. The API server refuses the rest by
// itself, from the parameters that come of it (see registration.FencePolicy).
package fence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// Definitions reads the metadata of a definition; a missing one is NotFound.
type Definitions interface {
	Definition(ctx context.Context, name string) (metav1.Object, error)
}

// Instances tells what exists of a definition.
type Instances interface {
	Existing(ctx context.Context, name string) (guard.Existing, error)
}

// Dropped lists what of a release may go although it is fenced.
type Dropped interface {
	// Watch follows the releases of a namespace until ctx ends.
	Watch(ctx context.Context, namespace string)
	Dropped(ctx context.Context, key release.Key) []Object
}

// Fence works out the fences from the live state.
type Fence struct {
	Profiles    *profile.Set
	Definitions Definitions
	Instances   Instances
	Dropped     Dropped
	// Approved tells whether the removal of a release has been approved; nil
	// where there are no approvals.
	Approved func(key release.Key) bool
}

// installation is what owns definitions: a Helm release, an Argo CD
// application, or the objects that a profile lists.
type installation struct {
	id, title string
	key       release.Key // of a Helm release
	targets   []string
	// instances are what exists of its definitions, by name of the definition.
	instances map[string]guard.Existing
}

// ID is the ID of the fence of a Helm release.
func ID(key release.Key) string { return key.Namespace + "_" + key.Name }

// Fences lists what is to be fenced, sorted by ID. The releases found are
// followed until lease, which ctx comes from, ends.
func (f *Fence) Fences(ctx, lease context.Context) ([]registration.Fence, error) {
	found := map[string]*installation{}
	for _, r := range f.Profiles.Releases() {
		if err := f.collect(ctx, r, found); err != nil {
			return nil, err
		}
	}
	var fences []registration.Fence
	for _, id := range slices.Sorted(maps.Keys(found)) {
		in := found[id]
		if in.key.Name != "" && f.Approved != nil && f.Approved(in.key) {
			continue
		}
		fence := registration.Fence{ID: id, Targets: in.targets, Text: in.text()}
		if in.key.Name != "" && f.Dropped != nil {
			f.Dropped.Watch(lease, in.key.Namespace)
			for _, o := range f.Dropped.Dropped(ctx, in.key) {
				if !in.holds(o) {
					fence.Opened = append(fence.Opened, o.ids(in.key.Namespace)...)
				}
			}
		}
		fences = append(fences, fence)
	}
	return fences, nil
}

// collect adds the installations that own definitions of r with instances.
func (f *Fence) collect(ctx context.Context, r profile.Release, found map[string]*installation) error {
	listed := &installation{id: r.ID, title: fmt.Sprintf("what profile %q lists as an operator", r.Profile), instances: map[string]guard.Existing{}}
	for _, o := range r.Objects {
		listed.targets = append(listed.targets, schema.ParseGroupResource(o.Resource).String()+"/"+o.Namespace+"/"+o.Name)
	}
	for _, name := range r.CRDs {
		definition, err := f.Definitions.Definition(ctx, name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read definition %q: %w", name, err)
		}
		existing, err := f.Instances.Existing(ctx, name)
		if err != nil {
			// Holdfast may not look, or cannot; that there are none is not known.
			existing = guard.Existing{Unreadable: err.Error()}
		}
		if existing.Total == 0 && existing.Unreadable == "" {
			continue
		}
		for _, in := range append(owners(definition), listed) {
			if len(in.targets) == 0 {
				continue
			}
			if found[in.id] == nil {
				found[in.id] = in
			}
			found[in.id].instances[name] = existing
		}
	}
	return nil
}

// owners are the installations that a definition says it belongs to.
func owners(definition metav1.Object) []*installation {
	var all []*installation
	add := func(in *installation) {
		in.instances = map[string]guard.Existing{}
		all = append(all, in)
	}
	annotations, labels := definition.GetAnnotations(), definition.GetLabels()
	key, helm := release.Of(definition)
	if helm {
		in := &installation{
			id: ID(key), title: "Helm release " + key.String(), key: key,
			targets: []string{"release/" + key.String(), "namespaces//" + key.Namespace},
		}
		if name, namespace := labels["helm.toolkit.fluxcd.io/name"], labels["helm.toolkit.fluxcd.io/namespace"]; name != "" && namespace != "" {
			// Flux may store the release in another namespace than it installs to.
			in.targets = append(in.targets, "helmreleases.helm.toolkit.fluxcd.io/"+namespace+"/"+name, "release/"+namespace+"/"+key.Name)
		}
		add(in)
	}
	if app, _, tracked := strings.Cut(annotations["argocd.argoproj.io/tracking-id"], ":"); tracked && app != "" {
		add(&installation{id: "argo_" + app, title: "Argo CD application " + app, targets: []string{"application/" + app}})
		return all
	}
	if app := cmp.Or(labels["argocd.argoproj.io/instance"], labels["app.kubernetes.io/instance"]); app != "" && !helm {
		add(&installation{id: "argo_" + app, title: "Argo CD application " + app, targets: []string{"instance/" + app}})
	}
	return all
}

// holds tells whether o is a definition with instances.
func (in *installation) holds(o Object) bool {
	_, ok := in.instances[o.Name]
	return ok && o.Kind == "CustomResourceDefinition.apiextensions.k8s.io"
}

// text is what a refusal says.
func (in *installation) text() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(in.instances)) {
		parts = append(parts, describe(name, in.instances[name]))
	}
	text := "holdfast has fenced " + in.title + ", because instances of its definitions exist: " + strings.Join(parts, "; ") +
		". Nothing of it may be removed: what goes on running would have no operator any more. First delete the instances, then try again"
	if in.key.Name != "" {
		text += "; or approve it: holdfast approve release " + in.key.Name + " -n " + in.key.Namespace + " --reason TEXT"
	}
	return text
}

// shown is how many namespaces a refusal names.
const shown = 3

// describe says what exists of one definition.
func describe(name string, existing guard.Existing) string {
	if existing.Total == 0 {
		return name + " cannot be read (" + strings.TrimSuffix(strings.Join(strings.Fields(existing.Unreadable), " "), ".") + ")"
	}
	text := fmt.Sprintf("%d of %s", existing.Total, name)
	if existing.More {
		text = "more than " + text
	}
	if len(existing.Namespaces) > 0 {
		text += " in " + strings.Join(existing.Namespaces[:min(len(existing.Namespaces), shown)], ", ")
		if more := len(existing.Namespaces) - shown; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	}
	return text
}
