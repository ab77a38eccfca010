// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"net/http"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// NewLive asks the cluster of config.
func NewLive(config *rest.Config, set *profile.Set) (*Live, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	client, err := dynamic.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	kinds, err := NewKinds(config, transport)
	if err != nil {
		return nil, err
	}
	return &Live{Profiles: set, Client: client, Kinds: kinds}, nil
}

// NewKinds looks definitions up in the cluster of config.
func NewKinds(config *rest.Config, transport *http.Client) (*Kinds, error) {
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), transport)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	definitions, err := apiextensions.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Kinds{Metadata: meta, Definitions: definitions, Discovery: disco}, nil
}

// OptionsFor are the options of an index that follows the cluster of reader and
// proves by that of prover, which is the same cluster.
//
// The prover speaks HTTP/1.1: with HTTP/2 all requests share one connection,
// and one that hangs keeps all of them waiting until it is given up, 45 s later.
// Here a request that was given up takes its connection with it, and the next
// gets another, which is a new one after Reconnect.
func OptionsFor(reader, prover *rest.Config, set *profile.Set, metrics *Metrics) (Options, error) {
	o := Options{Profiles: set, Metrics: metrics}
	var err error
	if o.Reader, err = dynamic.NewForConfig(reader); err != nil {
		return Options{}, fmt.Errorf("connect: %w", err)
	}
	if o.Metadata, err = metadata.NewForConfig(metadata.ConfigFor(reader)); err != nil {
		return Options{}, fmt.Errorf("connect: %w", err)
	}
	prover = rest.CopyConfig(prover)
	prover.NextProtos = []string{"http/1.1"}
	transport, err := rest.HTTPClientFor(prover)
	if err != nil {
		return Options{}, fmt.Errorf("connect: %w", err)
	}
	if o.Prover, err = dynamic.NewForConfigAndClient(prover, transport); err != nil {
		return Options{}, fmt.Errorf("connect: %w", err)
	}
	if o.Names, err = metadata.NewForConfigAndClient(metadata.ConfigFor(prover), transport); err != nil {
		return Options{}, fmt.Errorf("connect: %w", err)
	}
	o.Reconnect = func() { utilnet.CloseIdleConnectionsFor(transport.Transport) }
	o.Kinds, err = NewKinds(prover, transport)
	return o, err
}
