// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
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
	gvr        schema.GroupVersionResource
}

var crdResource = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

// Resolve implements Resolver. The version is the one that is stored, if it is
// served: it can be read even when a conversion webhook is dead.
func (k *Kinds) Resolve(ctx context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	none := schema.GroupVersionResource{}
	if gr.Group == "" {
		return gr.WithVersion("v1"), true, nil
	}
	meta, err := k.Metadata.Resource(crdResource).Get(ctx, gr.String(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return k.discover(ctx, gr)
	case err != nil:
		return none, false, fmt.Errorf("look up the definition of %s: %w", gr, err)
	}
	definition := string(meta.UID) + "/" + meta.ResourceVersion
	if known, ok := k.known.Load(gr); ok && known.(knownKind).definition == definition {
		return known.(knownKind).gvr, true, nil
	}
	crd, err := k.Definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, gr.String(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return none, false, nil
	}
	if err != nil {
		return none, false, fmt.Errorf("read the definition of %s: %w", gr, err)
	}
	version, ok := readableVersion(crd)
	if !ok {
		return none, false, fmt.Errorf("read %s: its definition %w", gr, errNoVersion)
	}
	gvr := gr.WithVersion(version)
	k.known.Store(gr, knownKind{definition: string(crd.UID) + "/" + crd.ResourceVersion, gvr: gvr})
	return gvr, true, nil
}

func readableVersion(crd *apiextensionsv1.CustomResourceDefinition) (string, bool) {
	served := ""
	for _, v := range crd.Spec.Versions {
		if v.Served && v.Storage {
			return v.Name, true
		}
		if v.Served && served == "" {
			served = v.Name
		}
	}
	return served, served != ""
}

// discover finds a resource that no CustomResourceDefinition defines.
func (k *Kinds) discover(ctx context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	none := schema.GroupVersionResource{}
	group := &metav1.APIGroup{}
	err := k.Discovery.RESTClient().Get().AbsPath("/apis/" + gr.Group).Do(ctx).Into(group)
	if apierrors.IsNotFound(err) {
		return none, false, nil
	}
	if err != nil {
		return none, false, fmt.Errorf("discover group %s: %w", gr.Group, err)
	}
	for _, v := range group.Versions {
		list, err := k.Discovery.ServerResourcesForGroupVersion(v.GroupVersion)
		if err != nil {
			return none, false, fmt.Errorf("discover resources of %s: %w", v.GroupVersion, err)
		}
		for _, r := range list.APIResources {
			if r.Name == gr.Resource {
				return gr.WithVersion(v.Version), true, nil
			}
		}
	}
	return none, false, nil
}
