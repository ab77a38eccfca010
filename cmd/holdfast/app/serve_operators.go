// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/operators"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// newOperators asks the cluster of config about operators.
func newOperators(config *rest.Config) (*operators.Live, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), transport)
	if err != nil {
		return nil, err
	}
	return &operators.Live{Kube: kube, Metadata: meta, Uninstalling: uninstalling(release.Reader{Kube: kube})}, nil
}

// uninstalling tells from Helm's records whether a release is on its way out.
func uninstalling(reader release.Reader) func(ctx context.Context, namespace, name string) (bool, error) {
	return func(ctx context.Context, namespace, name string) (bool, error) {
		revisions, err := reader.Revisions(ctx, release.Key{Namespace: namespace, Name: name})
		if err != nil || len(revisions) == 0 {
			return false, err
		}
		return revisions[len(revisions)-1].Status == release.Uninstalling, nil
	}
}

// followOperators knows the operators of o's profiles, for the rules and for u
// to register.
func followOperators(mgr manager.Manager, o *serveOptions, u *upkeep) (*operators.Follower, error) {
	live, err := newOperators(o.restConfig)
	if err != nil {
		return nil, err
	}
	follower := &operators.Follower{Profiles: o.set, Operators: live, Metadata: live.Metadata, Changed: u.trigger}
	u.registration.Operators = func() map[string]registration.Accounts { return accounts(o.set, follower) }
	// Every replica follows them, so that a new leader knows them at once.
	return follower, mgr.Add(everyReplica(follower.Start))
}

func accounts(set *profile.Set, follower *operators.Follower) map[string]registration.Accounts {
	all := map[string]registration.Accounts{}
	for _, p := range set.Profiles() {
		users, known := follower.Users(p.Name)
		all[p.Name] = registration.Accounts{Users: users, Known: known}
	}
	return all
}

// savedIn answers from a store of snapshots.
func savedIn(store *snapshot.Store) guard.Saved {
	return guard.SavedFunc(func(ctx context.Context, gr schema.GroupResource, uid types.UID) (bool, error) {
		records, err := store.List(ctx, snapshot.Filter{Resource: gr, UID: uid})
		for i := range records {
			if records[i].Problem == "" {
				return true, nil
			}
		}
		return false, err
	})
}
