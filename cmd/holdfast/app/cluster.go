// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"io"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // a kubeconfig may name any of them
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	defaultHoldfastNamespace = "holdfast-system"

	// The defaults of client-go hold a client down to five requests a second,
	// which a list of many kinds or a recovery of many objects would feel.
	clientQPS   = 200
	clientBurst = 400
)

// clusterFlags are the flags by which a command finds its cluster: kubectl's
// own, and where Holdfast is.
type clusterFlags struct {
	config            *genericclioptions.ConfigFlags
	holdfastNamespace string
}

// addClusterFlags adds the flags to cmd.
func addClusterFlags(cmd *cobra.Command) *clusterFlags {
	f := &clusterFlags{config: genericclioptions.NewConfigFlags(true)}
	// Discovery is asked anew by every command: right after a CustomResourceDefinition
	// came back, an answer from a cache on disk would be wrong.
	f.config.CacheDir = nil
	f.config.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.holdfastNamespace, "holdfast-namespace", defaultHoldfastNamespace, "the namespace that Holdfast keeps its own objects in")
	return f
}

// cluster is everything that a command needs of a cluster.
type cluster struct {
	config    *rest.Config
	kube      kubernetes.Interface
	dynamic   dynamic.Interface
	metadata  metadata.Interface
	discovery discovery.CachedDiscoveryInterfaceWithContext
	mapper    meta.RESTMapperWithContext

	// namespace is that of -n, else that of the kubeconfig's context.
	namespace string
	// namespaceGiven says that it is that of -n.
	namespaceGiven bool
	// holdfastNamespace is where Holdfast keeps its own objects.
	holdfastNamespace string
}

// connect makes the clients. It sends nothing yet. Warnings of the API server go to warnings.
func (f *clusterFlags) connect(warnings io.Writer) (*cluster, error) {
	loader := f.config.ToRawKubeConfigLoader()
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	config, err := f.config.ToRESTConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
	c := &cluster{
		config:            config,
		namespace:         namespace,
		namespaceGiven:    *f.config.Namespace != "",
		holdfastNamespace: f.holdfastNamespace,
	}
	if err := c.clients(); err != nil {
		return nil, kubeconfigError(err)
	}
	return c, nil
}

func (c *cluster) clients() error {
	transport, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return err
	}
	if c.kube, err = kubernetes.NewForConfigAndClient(c.config, transport); err != nil {
		return err
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(c.config, transport); err != nil {
		return err
	}
	partial := metadata.ConfigFor(c.config)
	// What reads only metadata does not care that a version is deprecated.
	partial.WarningHandler = rest.NoWarnings{}
	if c.metadata, err = metadata.NewForConfigAndClient(partial, transport); err != nil {
		return err
	}
	direct, err := discovery.NewDiscoveryClientForConfigAndClient(c.config, transport)
	if err != nil {
		return err
	}
	c.discovery = discovery.ToCachedDiscoveryInterfaceWithContext(memory.NewMemCacheClient(direct))
	c.mapper = restmapper.NewShortcutExpanderWithContext(restmapper.NewDeferredDiscoveryRESTMapperWithContext(c.discovery), c.discovery, nil)
	return nil
}

// snapshots is the store in Holdfast's namespace.
func (c *cluster) snapshots() (*snapshot.Store, error) {
	return snapshot.NewStore(c.kube, c.metadata, c.holdfastNamespace, time.Now)
}

// quietly is ctx for requests whose errors the command reports itself:
// client-go would log some of them to the terminal as well.
func quietly(ctx context.Context) context.Context {
	return klog.NewContext(ctx, logr.Discard())
}
