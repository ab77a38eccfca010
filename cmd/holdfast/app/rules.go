// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// newRules are the rules that decide about deletions, for the server and for
// whoever asks what the server would answer.
func newRules(set *profile.Set, who guard.Usage) []guard.Rule {
	return []guard.Rule{guard.InUse{Usage: who, Profiles: set}}
}

// newUsage asks the cluster of config who uses what.
func newUsage(config *rest.Config, set *profile.Set) (guard.Usage, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), transport)
	if err != nil {
		return nil, err
	}
	definitions, err := apiextensions.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, transport)
	if err != nil {
		return nil, err
	}
	return &usage.Live{Profiles: set, Client: client, Kinds: &usage.Kinds{Metadata: meta, Definitions: definitions, Discovery: disco}}, nil
}
