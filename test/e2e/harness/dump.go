// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Dump is every object of every resource, as JSON, by RESOURCE.GROUP/NAMESPACE/NAME.
// Left out is what changes by itself: Events, Leases, and component statuses,
// which are no objects but questions.
func Dump(ctx context.Context, config *rest.Config) (map[string]string, error) {
	// The deprecation of an API that is dumped is not news.
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("dump cluster: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("dump cluster: %w", err)
	}
	groups, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("dump cluster: %w", err)
	}
	all := map[string]string{}
	for _, group := range groups {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("dump cluster: %w", err)
		}
		for _, r := range group.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains([]string{"events", "leases", "componentstatuses"}, r.Name) {
				continue
			}
			list, err := client.Resource(version.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("dump %s: %w", r.Name, err)
			}
			for _, item := range list.Items {
				text, err := item.MarshalJSON()
				if err != nil {
					return nil, fmt.Errorf("dump %s: %w", r.Name, err)
				}
				key := version.WithResource(r.Name).GroupResource().String() + "/" + item.GetNamespace() + "/" + item.GetName()
				all[key] = string(text)
			}
		}
	}
	return all, nil
}
