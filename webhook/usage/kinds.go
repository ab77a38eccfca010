// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// Kinds resolves resources by what is installed at the moment of the call. It
// asks for the metadata of the CustomResourceDefinition each time, because
// discovery lags behind it, and reads the whole only after a change: an
// Astarte's has 1.5 MB. What has no definition is looked up by discovery.
type Kinds struct {
	Metadata    metadata.Interface
	Definitions apiextensions.Interface
	Discovery   discovery.DiscoveryInterface

	known sync.Map // schema.GroupResource -> knownKind
}

type knownKind struct {
	definition string // UID and resourceVersion of the definition
	kind       Definition
}

// Definition is how objects of a resource can be read.
type Definition struct {
	// Resource is in the version to read them in.
	Resource   schema.GroupVersionResource
	Namespaced bool
	// Selectable are the fields that lists may select by, such as
	// ".spec.planRef.name", besides the object's name and namespace.
	Selectable []string
	// Announced says that a definition makes the kind, whose changes are followed.
	Announced bool
}

var crdResource = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

// Resolve implements Resolver.
func (k *Kinds) Resolve(ctx context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	if gr.Group == "" {
		return gr.WithVersion("v1"), true, nil
	}
	d, installed, err := k.Define(ctx, gr)
	return d.Resource, installed, err
}

// Define implements Definer. The version is the one that is stored, if it is
// served: it can be read even when a conversion webhook is dead.
func (k *Kinds) Define(ctx context.Context, gr schema.GroupResource) (Definition, bool, error) {
	if gr.Group == "" {
		return k.discoverIn(ctx, gr.WithVersion("v1"))
	}
	meta, err := k.Metadata.Resource(crdResource).Get(ctx, gr.String(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return k.discover(ctx, gr)
	case err != nil:
		return Definition{}, false, fmt.Errorf("look up the definition of %s: %w", gr, err)
	}
	definition := string(meta.UID) + "/" + meta.ResourceVersion
	if known, ok := k.known.Load(gr); ok && known.(knownKind).definition == definition {
		return known.(knownKind).kind, true, nil
	}
	crd, err := k.Definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, gr.String(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Definition{}, false, nil
	}
	if err != nil {
		return Definition{}, false, fmt.Errorf("read the definition of %s: %w", gr, err)
	}
	version := readableVersion(crd)
	if version == nil {
		return Definition{}, false, fmt.Errorf("read %s: its definition %w", gr, errNoVersion)
	}
	d := Definition{Resource: gr.WithVersion(version.Name), Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped, Announced: true}
	for _, field := range version.SelectableFields {
		d.Selectable = append(d.Selectable, field.JSONPath)
	}
	k.known.Store(gr, knownKind{definition: string(crd.UID) + "/" + crd.ResourceVersion, kind: d})
	return d, true, nil
}

// DefinitionVersion is the resource version of the definition of gr when it was
// read last, which asks nobody; empty where none was read.
func (k *Kinds) DefinitionVersion(gr schema.GroupResource) string {
	known, ok := k.known.Load(gr)
	if !ok {
		return ""
	}
	_, version, _ := strings.Cut(known.(knownKind).definition, "/")
	return version
}

func readableVersion(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinitionVersion {
	var served *apiextensionsv1.CustomResourceDefinitionVersion
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Served && v.Storage {
			return v
		}
		if v.Served && served == nil {
			served = v
		}
	}
	return served
}

// discover finds a resource that no CustomResourceDefinition defines.
func (k *Kinds) discover(ctx context.Context, gr schema.GroupResource) (Definition, bool, error) {
	group := &metav1.APIGroup{}
	err := k.Discovery.RESTClient().Get().AbsPath("/apis/" + gr.Group).Do(ctx).Into(group)
	if apierrors.IsNotFound(err) {
		return Definition{}, false, nil
	}
	if err != nil {
		return Definition{}, false, fmt.Errorf("discover group %s: %w", gr.Group, err)
	}
	for _, v := range group.Versions {
		d, found, err := k.discoverIn(ctx, gr.WithVersion(v.Version))
		if found || err != nil {
			return d, found, err
		}
	}
	return Definition{}, false, nil
}

func (k *Kinds) discoverIn(ctx context.Context, gvr schema.GroupVersionResource) (Definition, bool, error) {
	path := "/apis/" + gvr.Group + "/" + gvr.Version
	if gvr.Group == "" {
		path = "/api/" + gvr.Version
	}
	list := &metav1.APIResourceList{}
	err := k.Discovery.RESTClient().Get().AbsPath(path).Do(ctx).Into(list)
	if apierrors.IsNotFound(err) {
		return Definition{}, false, nil
	}
	if err != nil {
		return Definition{}, false, fmt.Errorf("discover resources of %s: %w", gvr.GroupVersion(), err)
	}
	for _, r := range list.APIResources {
		if r.Name == gvr.Resource {
			return Definition{Resource: gvr, Namespaced: r.Namespaced}, true, nil
		}
	}
	return Definition{}, false, nil
}
