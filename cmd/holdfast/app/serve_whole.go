// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/holdfast-dev/holdfast/webhook/instances"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// newInstances asks the cluster of config which guarded objects there are.
func newInstances(config *rest.Config) (*instances.Live, error) {
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
	return &instances.Live{
		Client: client, Metadata: meta, Definitions: definitions,
		Kinds: &usage.Kinds{Metadata: meta, Definitions: definitions, Discovery: disco},
	}, nil
}

// followHolders keeps the list of the namespaces that hold guarded objects, for
// u to register, and counts what keeps releases fenced.
func followHolders(mgr manager.Manager, o *serveOptions, u *upkeep) error {
	live, err := newInstances(o.restConfig)
	if err != nil {
		return err
	}
	holders := &instances.Holders{Profiles: o.set, Metadata: live.Metadata, Kinds: live.Kinds, Changed: u.trigger}
	u.registration.Holding = holders.Namespaces
	u.beside = append(u.beside, newFencing(o, u, live, holders).lead)
	// Every replica follows them, so that a new leader knows them at once.
	return mgr.Add(everyReplica(holders.Start))
}
