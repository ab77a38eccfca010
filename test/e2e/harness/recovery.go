// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// NewRecovery is the library as the command line has it, for a built-in profile
// and with the snapshots in namespace, and the client that it goes by.
func NewRecovery(config *rest.Config, namespace, builtin string) (*recovery.Recovery, kubernetes.Interface, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	partial, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		return nil, nil, err
	}
	store, err := snapshot.NewStore(kube, partial, namespace, time.Now)
	if err != nil {
		return nil, nil, err
	}
	p, err := profile.Builtin(builtin)
	if err != nil {
		return nil, nil, err
	}
	set, err := profile.NewSet(p)
	if err != nil {
		return nil, nil, err
	}
	cached := memory.NewMemCacheClient(discovery.NewDiscoveryClient(kube.Discovery().RESTClient()))
	return &recovery.Recovery{
		Client: client, Metadata: partial, Mapper: meta.ToRESTMapperWithContext(restmapper.NewDeferredDiscoveryRESTMapper(cached)),
		Discovery: discovery.ToCachedDiscoveryInterfaceWithContext(cached),
		Snapshots: store, Profiles: set, User: "test", Now: time.Now,
	}, kube, nil
}
