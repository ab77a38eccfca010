// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// servedTimeout is how long it may take until new kinds are served.
const servedTimeout = time.Minute

// Served returns when the kinds of the definitions can be used by anybody:
// they are established, known to discovery, and answered in every version.
// 'kubectl wait' does less: it fails on a definition that has no conditions yet
// (as after its creation), and discovery follows the condition.
func Served(ctx context.Context, config *rest.Config, definitions ...string) error {
	s, err := newServing(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.check(ctx, definitions)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until kinds are served: %w", err)
		case <-tick.C:
		}
	}
}

type serving struct {
	definitions apiextensions.Interface
	discovery   discovery.DiscoveryInterface
	metadata    metadata.Interface
}

func newServing(config *rest.Config) (*serving, error) {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // versions may be deprecated
	definitions, err1 := apiextensions.NewForConfig(config)
	disco, err2 := discovery.NewDiscoveryClientForConfig(config)
	meta, err3 := metadata.NewForConfig(metadata.ConfigFor(config))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("make clients: %w", err)
	}
	return &serving{definitions: definitions, discovery: disco, metadata: meta}, nil
}

func (s *serving) check(ctx context.Context, names []string) error {
	var wanted []schema.GroupVersionResource
	for _, name := range names {
		crd, err := s.definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		}) {
			return fmt.Errorf("definition %s is not established", name)
		}
		for _, v := range crd.Spec.Versions {
			if v.Served {
				wanted = append(wanted, schema.GroupVersionResource{Group: crd.Spec.Group, Version: v.Name, Resource: crd.Spec.Names.Plural})
			}
		}
	}
	_, lists, err := s.discovery.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	for _, gvr := range wanted {
		if !slices.ContainsFunc(lists, func(list *metav1.APIResourceList) bool {
			return list.GroupVersion == gvr.GroupVersion().String() &&
				slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == gvr.Resource })
		}) {
			return fmt.Errorf("%s is not in discovery", gvr)
		}
		if _, err := s.metadata.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return fmt.Errorf("list %s: %w", gvr, err)
		}
	}
	return nil
}
