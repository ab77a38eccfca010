// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Targets tells how things stand with guarded objects, by one read of their
// metadata each.
type Targets struct {
	Mapper   meta.RESTMapper
	Metadata metadata.Interface
}

var _ guard.Presence = (*Targets)(nil)

// Of implements guard.Presence. An object of a kind that is not installed does
// not exist.
func (t *Targets) Of(ctx context.Context, target guard.Target) (guard.State, error) {
	kind, err := t.Mapper.KindFor(target.Resource.WithVersion(""))
	if meta.IsNoMatchError(err) {
		return guard.State{}, nil
	}
	if err != nil {
		return guard.State{}, fmt.Errorf("look up kind: %w", err)
	}
	mapping, err := t.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return guard.State{}, fmt.Errorf("look up kind: %w", err)
	}
	state := guard.State{Kind: kind.Kind, Clustered: mapping.Scope.Name() == meta.RESTScopeNameRoot}
	client := metadata.ResourceInterface(t.Metadata.Resource(mapping.Resource))
	if !state.Clustered {
		if target.Namespace == "" {
			// A cluster-scoped referrer that says no namespace names nothing.
			return state, nil
		}
		client = t.Metadata.Resource(mapping.Resource).Namespace(target.Namespace)
	}
	object, err := client.Get(ctx, target.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return state, nil
	}
	if err != nil {
		return guard.State{}, fmt.Errorf("read metadata: %w", err)
	}
	state.Exists, state.Terminating = true, object.DeletionTimestamp != nil
	return state, nil
}
