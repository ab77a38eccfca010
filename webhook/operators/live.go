// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package operators finds the installations of the operators that profiles
// describe: by the marks of Helm or Argo CD on their definitions, or by what
// the profile lists. It reads live objects, and Helm's own records only where
// that is allowed.
package operators

import (
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Live asks the API server each time.
type Live struct {
	Kube     kubernetes.Interface
	Metadata metadata.Interface
	// Uninstalling tells from Helm's own records whether a release is being
	// uninstalled. Nil, and an answer of Forbidden, leave that to what is seen
	// of its objects: the Deployment is among the first that go.
	Uninstalling func(ctx context.Context, namespace, name string) (bool, error)
}

var _ guard.Operators = (*Live)(nil)

var (
	definitions     = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
)

// Going implements guard.Operators. A definition that is not there is not on
// its way: the resource has none, or there are no objects of it.
func (l *Live) Going(ctx context.Context, gr schema.GroupResource) (bool, error) {
	crd, err := l.Metadata.Resource(definitions).Get(ctx, gr.String(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the metadata of definition %q: %w", gr, err)
	}
	return crd.DeletionTimestamp != nil, nil
}

// installation is what has been found of an operator.
type installation struct {
	deployments []*appsv1.Deployment
	// missing are Deployments that should be there, as messages name them.
	missing []string
	users   map[string]bool
}

func (i *installation) add(d *appsv1.Deployment) {
	if !slices.ContainsFunc(i.deployments, func(other *appsv1.Deployment) bool { return other.UID == d.UID }) {
		i.deployments = append(i.deployments, d)
	}
	i.users[profile.User(d.Namespace, accountOf(d))] = true
}

func accountOf(d *appsv1.Deployment) string {
	if name := d.Spec.Template.Spec.ServiceAccountName; name != "" {
		return name
	}
	return "default"
}

// Of implements guard.Operators.
func (l *Live) Of(ctx context.Context, op *profile.Operator) (guard.OperatorState, error) {
	owners, err := l.owners(ctx, op.OfCRDs)
	if err != nil {
		return guard.OperatorState{}, err
	}
	found := &installation{users: map[string]bool{}}
	away := ""
	for _, o := range owners {
		if err := l.ofOwner(ctx, o, found); err != nil {
			return guard.OperatorState{}, fmt.Errorf("look at %s: %w", o, err)
		}
		going, err := l.uninstalling(ctx, o)
		if err != nil {
			return guard.OperatorState{}, fmt.Errorf("look at %s: %w", o, err)
		}
		if going {
			away = o.String() + " is being uninstalled"
		}
	}
	if err := l.ofObjects(ctx, op.Objects, found); err != nil {
		return guard.OperatorState{}, err
	}
	if err := l.ofAccounts(ctx, op.ServiceAccounts, found); err != nil {
		return guard.OperatorState{}, err
	}
	if away == "" {
		away = found.away(op, owners)
	}
	return guard.OperatorState{Away: away, Users: slices.Sorted(maps.Keys(found.users))}, nil
}

// away says why the operator is not at work; empty when it is.
func (i *installation) away(op *profile.Operator, owners []owner) string {
	if len(i.missing) > 0 {
		return i.missing[0] + " does not exist"
	}
	for _, d := range i.deployments {
		if d.DeletionTimestamp != nil {
			return "Deployment " + d.Namespace + "/" + d.Name + " is being deleted"
		}
	}
	switch {
	case len(i.deployments) > 0:
		return ""
	case len(owners) > 0:
		return owners[0].String() + " has no Deployment"
	case len(op.ServiceAccounts) > 0:
		return fmt.Sprintf("no Deployment in namespace %s runs as ServiceAccount %s", op.ServiceAccounts[0].Namespace, op.ServiceAccounts[0].Name)
	default:
		return "its definitions bear no mark of Helm or Argo CD, and profile " + op.Profile + " lists no Deployment and no ServiceAccount of it under operators"
	}
}

// owners are the installations that own the definitions.
func (l *Live) owners(ctx context.Context, crds []string) ([]owner, error) {
	var owners []owner
	for _, name := range crds {
		crd, err := l.Metadata.Resource(definitions).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the metadata of definition %q: %w", name, err)
		}
		if o, ok := ownerOf(crd); ok && !slices.ContainsFunc(owners, func(other owner) bool { return other.String() == o.String() }) {
			owners = append(owners, o)
		}
	}
	return owners, nil
}

// ofOwner adds the Deployments and ServiceAccounts of an installation.
func (l *Live) ofOwner(ctx context.Context, o owner, found *installation) error {
	opts := metav1.ListOptions{LabelSelector: o.selector}
	deployments, err := l.Kube.AppsV1().Deployments(o.namespace).List(ctx, opts)
	if err != nil {
		return fmt.Errorf("list its Deployments: %w", err)
	}
	for i := range deployments.Items {
		if d := &deployments.Items[i]; o.owns(d) {
			found.add(d)
		}
	}
	accounts, err := l.Metadata.Resource(serviceAccounts).Namespace(o.namespace).List(ctx, opts)
	if err != nil {
		return fmt.Errorf("list its ServiceAccounts: %w", err)
	}
	for i := range accounts.Items {
		if a := &accounts.Items[i]; o.owns(a) {
			found.users[profile.User(a.Namespace, a.Name)] = true
		}
	}
	return nil
}

func (l *Live) uninstalling(ctx context.Context, o owner) (bool, error) {
	if o.tool != toolHelm || l.Uninstalling == nil {
		return false, nil
	}
	going, err := l.Uninstalling(ctx, o.namespace, o.name)
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return going, err
}

// ofObjects adds what a profile lists.
func (l *Live) ofObjects(ctx context.Context, objects []v1alpha1.ReleaseObject, found *installation) error {
	for _, o := range objects {
		switch schema.ParseGroupResource(o.Resource) {
		case schema.GroupResource{Resource: "serviceaccounts"}:
			found.users[profile.User(o.Namespace, o.Name)] = true
		case schema.GroupResource{Group: "apps", Resource: "deployments"}:
			d, err := l.Kube.AppsV1().Deployments(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				found.missing = append(found.missing, "Deployment "+o.Namespace+"/"+o.Name)
			case err != nil:
				return fmt.Errorf("read Deployment %q: %w", o.Namespace+"/"+o.Name, err)
			default:
				found.add(d)
			}
		}
	}
	return nil
}

// ofAccounts adds listed ServiceAccounts, and the Deployments that run as them.
func (l *Live) ofAccounts(ctx context.Context, accounts []v1alpha1.ServiceAccount, found *installation) error {
	for _, a := range accounts {
		found.users[profile.User(a.Namespace, a.Name)] = true
		deployments, err := l.Kube.AppsV1().Deployments(a.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the Deployments that run as ServiceAccount %q: %w", a.Namespace+"/"+a.Name, err)
		}
		for i := range deployments.Items {
			if d := &deployments.Items[i]; accountOf(d) == a.Name {
				found.add(d)
			}
		}
	}
	return nil
}
