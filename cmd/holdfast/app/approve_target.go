// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// approved is an approval and what is to be said about it.
type approved struct {
	approval *v1alpha1.DeletionApproval
	// what names the target, such as "servicetier shop/n0.small".
	what string
	// then is the command that may now be run.
	then string
	// distinct says that somebody else must run it.
	distinct bool
	notes    []string
}

// target finds what is to be approved, live.
func (o *approveOptions) target(ctx context.Context, c *cluster, args []string) (*approved, error) {
	if resourceWord(args) == v1alpha1.ReleaseResource {
		return c.release(ctx, args)
	}
	targets, err := c.targets(ctx, args)
	if err != nil {
		return nil, err
	}
	t := targets[0]
	gr := t.mapping.Resource.GroupResource()
	named := guard.Target{Resource: gr, Kind: t.mapping.GroupVersionKind.Kind, Namespace: t.namespace, Name: t.name}
	live, err := c.metadata.Resource(t.mapping.Resource).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, usagef("there is no %s, so nothing to approve", named)
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", named, err)
	}
	a := &approved{what: named.String(), then: "kubectl delete " + gr.String() + " " + t.name + inNamespace(t.namespace)}
	a.approval = &v1alpha1.DeletionApproval{Spec: v1alpha1.DeletionApprovalSpec{
		Resource: gr.String(), Namespace: t.namespace, Name: t.name, UID: string(live.UID),
	}}
	if o.operation == string(v1alpha1.OperationStripFinalizers) {
		a.then = "kubectl patch " + gr.String() + " " + t.name + inNamespace(t.namespace) + ` --type=merge -p '{"metadata":{"finalizers":null}}'`
		if live.DeletionTimestamp == nil {
			a.notes = append(a.notes, "it is not being deleted; the finalizers of such an object may be removed without approval")
		}
	} else if live.DeletionTimestamp != nil {
		a.notes = append(a.notes, "it is being deleted already and waits for its finalizers; to let it go: --operation strip-finalizers")
	}
	set, err := o.profiles.forCluster(ctx, c)
	if err != nil {
		return nil, err
	}
	guarded, ok := set.Subject(gr, t.name)
	if !ok {
		a.notes = append(a.notes, fmt.Sprintf("no profile that is switched on guards %s; it can be deleted without approval", gr))
		return a, nil
	}
	a.distinct = guarded.DistinctApprover
	if gr == profile.NamespaceResource() {
		a.notes = append(a.notes, "it covers the deletion of the namespace with all it holds, until it ends")
	}
	return a, nil
}

func (c *cluster) release(ctx context.Context, args []string) (*approved, error) {
	key, note, err := c.findRelease(ctx, args)
	if err != nil {
		return nil, err
	}
	a := &approved{
		what: "release " + key.String(), then: "helm uninstall " + key.Name + " -n " + key.Namespace,
		approval: &v1alpha1.DeletionApproval{Spec: v1alpha1.DeletionApprovalSpec{
			Resource: v1alpha1.ReleaseResource, Namespace: key.Namespace, Name: key.Name,
		}},
		notes: []string{"it covers the removal of the whole release, until it ends"},
	}
	if note != "" {
		a.notes = append(a.notes, note)
	}
	return a, nil
}

// findRelease finds a Helm release by the Secrets in which Helm keeps it. The
// note says so where they may not be looked up.
func (c *cluster) findRelease(ctx context.Context, args []string) (key release.Key, note string, err error) {
	_, name, slash := strings.Cut(args[0], "/")
	switch {
	case slash && len(args) == 2, name == "" && len(args) == 1:
		return key, "", usagef("name one Helm release: release NAME, or release/NAME")
	case !slash:
		name = args[1]
	}
	if name == "" || strings.Contains(name, "/") {
		return key, "", usagef("%q is not the name of a Helm release", name)
	}
	key = release.Key{Namespace: c.namespace, Name: name}
	found, err := c.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(c.namespace).
		List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + name, Limit: 1})
	switch {
	case apierrors.IsForbidden(err):
		return key, "whether there is such a release could not be looked up: you may not list Secrets in its namespace", nil
	case apierrors.IsBadRequest(err):
		return key, "", usagef("%q is not the name of a Helm release", name)
	case err != nil:
		return key, "", fmt.Errorf("find release %q: %w", name, err)
	case len(found.Items) == 0:
		return key, "", usagef("there is no Helm release %s in namespace %s; 'helm list -A' lists those that exist", name, c.namespace)
	}
	return key, "", nil
}

func inNamespace(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}
