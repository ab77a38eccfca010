// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is how objects of a resource are read.
type Kind struct {
	Resource   schema.GroupVersionResource
	Namespaced bool
}

// Definer finds out how a resource is read at this moment.
type Definer interface {
	// Define tells whether gr is installed, and how it is read.
	Define(ctx context.Context, gr schema.GroupResource) (kind Kind, installed bool, err error)
}

// DefinerFunc is a function as a Definer.
type DefinerFunc func(ctx context.Context, gr schema.GroupResource) (Kind, bool, error)

// Define calls f.
func (f DefinerFunc) Define(ctx context.Context, gr schema.GroupResource) (Kind, bool, error) {
	return f(ctx, gr)
}

// rememberFor bounds how long an answer about an installed kind is used again.
const rememberFor = 10 * time.Second

// remembered asks for a kind once in a while only. That a kind is not installed
// is asked for each time: it may be by now.
type remembered struct {
	definer Definer

	mu    sync.Mutex
	kinds map[schema.GroupResource]rememberedKind
}

type rememberedKind struct {
	kind Kind
	at   time.Time
}

func (r *remembered) define(ctx context.Context, gr schema.GroupResource) (Kind, bool, error) {
	r.mu.Lock()
	known, ok := r.kinds[gr]
	r.mu.Unlock()
	if ok && time.Since(known.at) < rememberFor {
		return known.kind, true, nil
	}
	return r.defineNow(ctx, gr)
}

func (r *remembered) defineNow(ctx context.Context, gr schema.GroupResource) (Kind, bool, error) {
	kind, installed, err := r.definer.Define(ctx, gr)
	if err == nil && installed {
		r.mu.Lock()
		if r.kinds == nil {
			r.kinds = map[schema.GroupResource]rememberedKind{}
		}
		r.kinds[gr] = rememberedKind{kind, time.Now()}
		r.mu.Unlock()
	}
	return kind, installed, err
}

func (r *remembered) forget(gr schema.GroupResource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.kinds, gr)
}
