// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package instances answers which guarded objects exist: of a definition, in a
// namespace, and, as a list that is kept up to date, in which namespaces. It
// asks the API server in whichever version answers, because that of a dead
// conversion webhook does not.
package instances

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/pager"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const (
	// tryFor bounds one version: a conversion webhook that does not answer
	// must leave time for the others.
	tryFor = time.Second
	// countPage and countFor bound what is counted for a message.
	countPage = 500
	countFor  = time.Second
)

// Resolver finds the version in which objects of a resource can be read.
type Resolver interface {
	// Resolve tells whether gr is installed, and the version to read it in.
	Resolve(ctx context.Context, gr schema.GroupResource) (gvr schema.GroupVersionResource, installed bool, err error)
}

// Live asks the API server each time, with consistent reads.
type Live struct {
	Client      dynamic.Interface
	Metadata    metadata.Interface
	Definitions apiextensions.Interface
	Kinds       Resolver
	// Own is Holdfast's namespace, in which nothing is guarded; empty for none.
	Own string
}

var (
	_ guard.Instances = (*Live)(nil)
	_ guard.Contents  = (*Live)(nil)
)

// Of implements guard.Instances.
func (l *Live) Of(ctx context.Context, object *unstructured.Unstructured) (guard.Existing, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
		return guard.Existing{}, fmt.Errorf("read the definition: %w", err)
	}
	gr := schema.GroupResource{Group: crd.Spec.Group, Resource: crd.Spec.Names.Plural}
	versions := served(crd)
	if len(versions) == 0 {
		return guard.Existing{Unreadable: "no version is served"}, nil
	}
	var unreadable error
	for _, version := range versions {
		gvr := gr.WithVersion(version)
		first, err := l.page(ctx, gvr, metav1.ListOptions{Limit: 1})
		switch {
		case err == nil && len(first.Items) == 0:
			return guard.Existing{}, nil
		case err == nil:
			return l.count(ctx, gvr, first), nil
		case ctx.Err() != nil || !isVersionTrouble(err):
			return guard.Existing{}, fmt.Errorf("list %s: %w", gr, err)
		case apierrors.IsNotFound(err) && !established(crd):
			return guard.Existing{}, nil // it never came to be served, so nothing was ever created
		}
		unreadable = cmp.Or(unreadable, err)
	}
	return guard.Existing{Unreadable: unreadable.Error()}, nil
}

func (l *Live) page(ctx context.Context, gvr schema.GroupVersionResource, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	return l.Metadata.Resource(gvr).List(ctx, opts)
}

// count goes on from the first instance, as far as the time for it goes.
func (l *Live) count(ctx context.Context, gvr schema.GroupVersionResource, first *metav1.PartialObjectMetadataList) guard.Existing {
	ctx, cancel := context.WithTimeout(ctx, countFor)
	defer cancel()
	var existing guard.Existing
	var namespaces []string
	for page := first; ; {
		existing.Total += len(page.Items)
		for _, item := range page.Items {
			if item.Namespace != "" && !slices.Contains(namespaces, item.Namespace) {
				namespaces = append(namespaces, item.Namespace)
			}
		}
		if page.Continue == "" {
			break
		}
		next, err := l.Metadata.Resource(gvr).List(ctx, metav1.ListOptions{Limit: countPage, Continue: page.Continue})
		if err != nil {
			existing.More = true // there are some; how many is only told
			break
		}
		page = next
	}
	slices.Sort(namespaces)
	existing.Namespaces = namespaces
	return existing
}

// In implements guard.Contents.
func (l *Live) In(ctx context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error) {
	if l.Own != "" && namespace == l.Own {
		return nil, nil // where Secrets are guarded, all snapshots would be read here
	}
	gvr, installed, err := l.Kinds.Resolve(ctx, guarded.Resource)
	if err != nil || !installed {
		return nil, err
	}
	objects, err := l.list(ctx, gvr, namespace)
	if err == nil {
		return objects, nil
	}
	if ctx.Err() != nil || !isVersionTrouble(err) {
		return nil, err
	}
	crd, crdErr := l.Definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, guarded.Resource.String(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(crdErr):
		return nil, onlyFound(err)
	case crdErr != nil:
		return nil, fmt.Errorf("read the definition of %s: %w", guarded.Resource, crdErr)
	case crd.Spec.Scope == apiextensionsv1.ClusterScoped && namespace != "":
		return nil, nil
	}
	for _, version := range served(crd) {
		if version == gvr.Version {
			continue
		}
		if objects, again := l.list(ctx, guarded.Resource.WithVersion(version), namespace); again == nil {
			return objects, nil
		}
	}
	return nil, err
}

// Others are the served versions of gr but version, the stored one first, when
// err is one that another version may not have; else none.
func (l *Live) Others(ctx context.Context, gr schema.GroupResource, version string, err error) []string {
	if gr.Group == "" || ctx.Err() != nil || !isVersionTrouble(err) {
		return nil
	}
	crd, err := l.Definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, gr.String(), metav1.GetOptions{})
	if err != nil {
		return nil // whoever asks has an error to tell already
	}
	return slices.DeleteFunc(served(crd), func(v string) bool { return v == version })
}

// onlyFound makes "there is no such resource" no error.
func onlyFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (l *Live) list(ctx context.Context, gvr schema.GroupVersionResource, namespace string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	list := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeout(ctx, tryFor)
		defer cancel()
		return l.Client.Resource(gvr).Namespace(namespace).List(ctx, opts)
	})
	err := list.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		object, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("unexpected item of type %T", o)
		}
		objects = append(objects, object)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return objects, nil
}

// served lists the versions that can be asked for: the stored one first, which
// most often needs no conversion.
func served(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var versions []string
	for _, stored := range []bool{true, false} {
		for _, v := range crd.Spec.Versions {
			if v.Served && v.Storage == stored {
				versions = append(versions, v.Name)
			}
		}
	}
	return versions
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
}

// isVersionTrouble tells an error that another version may not have, such as
// that of a dead conversion webhook, from one that concerns all of them.
func isVersionTrouble(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		code := status.Status().Code
		return code == http.StatusInternalServerError || code == http.StatusNotFound || code == http.StatusGatewayTimeout
	}
	return errors.Is(err, context.DeadlineExceeded)
}
