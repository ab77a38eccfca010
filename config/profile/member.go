// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/jsonpath"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// The annotations by which Helm marks what it owns, and the labels of the
// Secrets in which it keeps a release.
const (
	helmReleaseName      = "meta.helm.sh/release-name"
	helmReleaseNamespace = "meta.helm.sh/release-namespace"
	helmOwnerLabel       = "owner"
	helmNameLabel        = "name"
)

// Member is one line of a closure. Exactly one of OwnedBy, Path, Referring,
// NamePrefix, Name and ReleaseOf is set.
type Member struct {
	Resource        schema.GroupResource
	OwnedBy         bool
	Path, Referring *Path
	NamePrefix      *template
	Name            *template
	ReleaseOf       string
	NamesOnly       bool
	BeforeOwner     bool
}

func newMembers(all []v1alpha1.Member) ([]Member, error) {
	var members []Member
	for _, m := range all {
		one := Member{Resource: schema.ParseGroupResource(m.Resource), OwnedBy: m.OwnedBy, ReleaseOf: m.ReleaseOf, NamesOnly: m.NamesOnly, BeforeOwner: m.BeforeOwner}
		for text, into := range map[string]**Path{m.Path: &one.Path, m.Referring: &one.Referring} {
			if text == "" {
				continue
			}
			path, err := ParsePath(text)
			if err != nil {
				return nil, err
			}
			*into = path
		}
		for text, into := range map[string]**template{m.NamePrefix: &one.NamePrefix, m.Name: &one.Name} {
			if text == "" {
				continue
			}
			t, err := parseTemplate(text)
			if err != nil {
				return nil, err
			}
			*into = t
		}
		members = append(members, one)
	}
	return members, nil
}

// Hits are the objects that candidate names at the line's path Referring.
func (m Member) Hits(candidate *unstructured.Unstructured) ([]Hit, error) {
	return Reference{Resource: m.Resource, Path: m.Referring}.Hits(candidate)
}

// template is text in which kubectl JSONPaths in braces are filled in.
type template struct{ text string }

func parseTemplate(text string) (*template, error) {
	if _, err := jsonpath.Parse("name", text); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return &template{text: text}, nil
}

// fill is the text for object. A path that finds nothing is an error: without
// it the rest would select what was not meant.
func (t *template) fill(object *unstructured.Unstructured) (string, error) {
	j := jsonpath.New("name")
	if err := j.Parse(t.text); err != nil {
		return "", err
	}
	var b strings.Builder
	if err := j.Execute(&b, object.Object); err != nil {
		return "", fmt.Errorf("fill in %s: %w", t.text, err)
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("fill in %s: it is empty", t.text)
	}
	return b.String(), nil
}

// selected finds the objects of one line.
func (c *closing) selected(ctx context.Context, m Member, self Name, object *unstructured.Unstructured) ([]Found, error) {
	switch {
	case m.OwnedBy:
		uid := object.GetUID()
		if !slices.Contains(c.result.Owners, uid) {
			c.result.Owners = append(c.result.Owners, uid)
		}
		return c.list(ctx, Place{m.Resource, self.Namespace, ""}, func(o *metav1.PartialObjectMetadata) bool {
			return slices.ContainsFunc(o.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == uid })
		})
	case m.NamePrefix != nil:
		prefix, err := m.NamePrefix.fill(object)
		if err != nil {
			return nil, err
		}
		return c.list(ctx, Place{m.Resource, self.Namespace, prefix}, func(o *metav1.PartialObjectMetadata) bool {
			return strings.HasPrefix(o.Name, prefix)
		})
	case m.Path != nil:
		hits, err := Reference{Resource: m.Resource, Path: m.Path}.Hits(object)
		if err != nil {
			return nil, err
		}
		var found []Found
		for _, hit := range hits {
			one, err := c.look(ctx, Name{m.Resource, hit.Namespace, hit.Name})
			if err != nil {
				return nil, err
			}
			found = append(found, one...)
		}
		return found, nil
	case m.Name != nil:
		name, err := m.Name.fill(object)
		if err != nil {
			return nil, err
		}
		return c.look(ctx, Name{m.Resource, self.Namespace, name})
	case m.ReleaseOf != "":
		return c.release(ctx, m)
	default:
		found, err := c.from.Referrers(ctx, m, self)
		return found, mayNot(err, Place{Resource: m.Resource})
	}
}

func (c *closing) list(ctx context.Context, at Place, matches func(*metav1.PartialObjectMetadata) bool) ([]Found, error) {
	c.result.Looked = append(c.result.Looked, at)
	whole := Place{Resource: at.Resource, Namespace: at.Namespace}
	all, listed := c.lists[whole]
	if !listed {
		var err error
		if all, err = c.from.List(ctx, at.Resource, at.Namespace); err != nil {
			return nil, mayNot(err, at)
		}
		c.lists[whole] = all
	}
	var found []Found
	for i := range all {
		if o := &all[i]; matches(o) {
			found = append(found, foundAt(Name{at.Resource, o.Namespace, o.Name}, o))
		}
	}
	return found, nil
}

func (c *closing) look(ctx context.Context, at Name) ([]Found, error) {
	c.result.Wanted = append(c.result.Wanted, at)
	o, err := c.from.Look(ctx, at)
	if err != nil || o == nil {
		return nil, mayNot(err, Place{Resource: at.Resource, Namespace: at.Namespace})
	}
	// A cluster-scoped object has no namespace, whatever the path gave it.
	at.Namespace = o.Namespace
	return []Found{foundAt(at, o)}, nil
}

func foundAt(at Name, o *metav1.PartialObjectMetadata) Found {
	return Found{Name: at, UID: o.UID, ResourceVersion: o.ResourceVersion}
}

// release finds the Secrets of the Helm release that owns a definition.
func (c *closing) release(ctx context.Context, m Member) ([]Found, error) {
	crd, err := c.from.Look(ctx, Name{Resource: CRDResource(), Name: m.ReleaseOf})
	if err != nil || crd == nil {
		return nil, mayNot(err, Place{Resource: CRDResource()})
	}
	name, namespace := crd.Annotations[helmReleaseName], crd.Annotations[helmReleaseNamespace]
	if name == "" || namespace == "" {
		return nil, nil // no release of Helm's owns it
	}
	return c.list(ctx, Place{m.Resource, namespace, "sh.helm.release.v1." + name + "."}, func(o *metav1.PartialObjectMetadata) bool {
		return o.Labels[helmOwnerLabel] == "helm" && o.Labels[helmNameLabel] == name
	})
}

// forbidden says in words what may not be read.
type forbidden struct {
	what  string
	cause error
}

// Error implements error.
func (f *forbidden) Error() string { return f.what }

// Unwrap lets the cause be recognised.
func (f *forbidden) Unwrap() error { return f.cause }

// mayNot puts an error about rights into words that people are told.
func mayNot(err error, at Place) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	what := plural(at.Resource)
	if at.Namespace != "" {
		what += " of namespace " + at.Namespace
	}
	return &forbidden{what: what + " may not be read", cause: err}
}

// plural is a resource as people write it at the beginning of a sentence.
func plural(gr schema.GroupResource) string {
	switch gr {
	case schema.GroupResource{Resource: "secrets"}:
		return "Secrets"
	case schema.GroupResource{Resource: "configmaps"}:
		return "ConfigMaps"
	default:
		return gr.String()
	}
}

// maxGoing is how many names a reason gives.
const maxGoing = 3

// goesAlong is the reason why objects of which only names are recorded count.
func goesAlong(gr schema.GroupResource, names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	text := strings.Join(names[:min(len(names), maxGoing)], ", ")
	if more := len(names) - maxGoing; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("of %s %s, which go with it, only the names are saved", gr, text)
}

// ErrForbidden is for readers that know without asking that they may not read.
var ErrForbidden = apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("not among the namespaces whose Secrets may be read"))
