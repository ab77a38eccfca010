// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/recorder"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook"
	"github.com/holdfast-dev/holdfast/webhook/instances"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// anyNamespace is the value of --secret-namespaces that means all.
const anyNamespace = "*"

// definer looks kinds up as the index of references does.
type definer struct{ kinds *usage.Kinds }

// Define implements recorder.Definer.
func (d definer) Define(ctx context.Context, gr schema.GroupResource) (recorder.Kind, bool, error) {
	found, installed, err := d.kinds.Define(ctx, gr)
	return recorder.Kind{Resource: found.Resource, Namespaced: found.Namespaced}, installed, err
}

// newReader reads what belongs to guarded objects in the cluster of config.
func newReader(config *rest.Config, set *profile.Set) (*recorder.Live, definer, error) {
	existing, err := newInstances(config)
	if err != nil {
		return nil, definer{}, err
	}
	return readerOf(existing, set)
}

func readerOf(existing *instances.Live, set *profile.Set) (*recorder.Live, definer, error) {
	kinds, ok := existing.Kinds.(*usage.Kinds)
	if !ok {
		return nil, definer{}, errors.New("no way to look kinds up")
	}
	look := definer{kinds}
	from := recorder.NewLive(existing.Client, existing.Metadata, look)
	from.Profiles, from.Instances, from.Others = set, existing.In, existing.Others
	return from, look, nil
}

// record keeps what is guarded saved at all times, and lets the webhook save
// whole sets with what the recorder knows.
func record(o *serveOptions, mgr manager.Manager, kube kubernetes.Interface, handler *webhook.Handler) error {
	store, ok := handler.Snapshots.(*snapshot.Store)
	if !ok {
		return errors.New("the webhook has no store")
	}
	from, look, err := newReader(o.restConfig, o.set)
	if err != nil {
		return err
	}
	from.MaySecrets = o.maySecrets()
	keeper := recorder.New(o.set, store, from, kube, look)
	keeper.Sets.DefinitionVersion = look.kinds.DefinitionVersion
	if keeper.Metrics, err = recorder.NewMetrics(metrics.Registry); err != nil {
		return err
	}
	handler.Snapshots = keeper.Sets
	if !o.continuousBackup {
		return nil
	}
	return mgr.Add(everyReplica(keeper.Start))
}

// maySecrets tells whether the Secrets of a namespace may be read; nil leaves
// that to the rights that there are.
func (o *serveOptions) maySecrets() func(namespace string) bool {
	if !o.secretNamespacesGiven || slices.Contains(o.secretNamespaces, anyNamespace) {
		return nil
	}
	return func(namespace string) bool { return slices.Contains(o.secretNamespaces, namespace) }
}
