// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Options are what an Index needs; all but Names and Reconnect are required.
type Options struct {
	Profiles *profile.Set
	// Reader follows the referring kinds. Prover asks for proofs, and should
	// have connections of its own.
	Reader, Prover dynamic.Interface
	// Names asks for versions over the connections of Prover, which is quicker
	// than asking for objects; nil where that is not possible.
	Names metadata.Interface
	// Reconnect makes Prover use no connection for its next request that it has
	// now and that rests; nil when it has none of its own.
	Reconnect func()
	// Metadata follows the CustomResourceDefinitions.
	Metadata metadata.Interface
	Kinds    Definer
	Metrics  *Metrics
}

// Definer tells how objects of a resource can be read.
type Definer interface {
	// Define tells whether gr is installed, as of now, and how to read it.
	Define(ctx context.Context, gr schema.GroupResource) (d Definition, installed bool, err error)
}

// Index knows the references of all referring kinds and answers at once, or
// after a proof that it misses none.
type Index struct {
	options Options
	plan    *plan
	feeds   map[schema.GroupResource]*feed
	// definitions says whether definitions are followed at this moment.
	definitions atomic.Bool
	sorted      []*feed
	started     time.Time
	// synced says that every kind was read once. A kind that appears later
	// answers for itself and does not take the replica out of service.
	synced atomic.Bool
}

var (
	_ guard.Usage    = (*Index)(nil)
	_ guard.Recaller = (*Index)(nil)
)

// NewIndex makes an index that knows nothing until it is started.
func NewIndex(o Options) *Index {
	i := &Index{options: o, plan: newPlan(o.Profiles), feeds: map[schema.GroupResource]*feed{}, started: time.Now()}
	for _, gr := range o.Profiles.Referring() {
		f := newFeed(i.plan.kinds[gr], o)
		f.definitions = &i.definitions
		i.feeds[gr] = f
		i.sorted = append(i.sorted, f)
	}
	return i
}

// Start follows the referring kinds until ctx ends.
func (i *Index) Start(ctx context.Context) error {
	var all sync.WaitGroup
	for _, f := range i.sorted {
		all.Go(func() { f.run(ctx) })
	}
	all.Go(func() { i.followDefinitions(ctx) })
	all.Go(func() { i.count(ctx) })
	all.Wait()
	return nil
}

// NeedLeaderElection tells the manager that every replica has an index.
func (i *Index) NeedLeaderElection() bool { return false }

const countEvery = 5 * time.Second

func (i *Index) count(ctx context.Context) {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		i.options.Metrics.count(i.sorted)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// readyBound is how long readiness waits for the first sync. After it each
// kind answers for itself.
const readyBound = 20 * time.Second

// Ready is an error until every kind was read once, or was found absent or
// unreadable, or has had its time.
func (i *Index) Ready(*http.Request) error {
	if i.synced.Load() || time.Since(i.started) > readyBound {
		return nil
	}
	var waiting []string
	for _, f := range i.sorted {
		if s, failure := f.condition(); failure == nil && (s == stateUnknown || s == stateSyncing) {
			waiting = append(waiting, f.resource().String())
		}
	}
	if len(waiting) > 0 {
		return fmt.Errorf("not read yet: %s", strings.Join(waiting, ", "))
	}
	i.synced.Store(true)
	return nil
}

func (f *feed) condition() (state, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state, f.failure
}

// Recall implements guard.Recaller. What it tells was true a moment ago.
func (i *Index) Recall(target guard.Target, limit int) guard.Use {
	// With nothing proved there is nothing to check, so reading cannot fail.
	use, _ := i.read(target, limit, nil)
	return use
}

// Of implements guard.Usage.
func (i *Index) Of(ctx context.Context, target guard.Target, limit int) (guard.Use, error) {
	if use := i.Recall(target, limit); use.Total > 0 {
		i.refresh(ctx, target)
		return use, nil
	}
	var err error
	for range attempts {
		var proofs map[schema.GroupResource]proof
		if proofs, err = i.prove(ctx, target); err != nil {
			break
		}
		var use guard.Use
		if use, err = i.read(target, limit, proofs); !errors.Is(err, errChanged) {
			return use, err
		}
	}
	// What became known meanwhile may decide.
	if use := i.Recall(target, limit); use.Total > 0 {
		return use, nil
	}
	return guard.Use{}, err
}

// refreshPause is between two refreshes of a kind.
const refreshPause = 5 * time.Second

// refresh catches up after a refusal, without anybody waiting for it, so that
// the next try is not refused because of what has gone long ago: a reflector
// whose connection hangs notices that only after 45 s.
func (i *Index) refresh(ctx context.Context, target guard.Target) {
	for _, gr := range i.plan.needed(target.Resource) {
		f := i.feeds[gr]
		last, now := f.refreshed.Load(), time.Now().UnixNano()
		if now-last < int64(refreshPause) || !f.refreshed.CompareAndSwap(last, now) {
			continue
		}
		go func() {
			// Its failure is of no account: who is to be let go waits for a proof.
			_, _ = f.prove(context.WithoutCancel(ctx))
		}()
	}
}

// prove shows of each kind that matters to target that nothing is missing.
func (i *Index) prove(ctx context.Context, target guard.Target) (map[schema.GroupResource]proof, error) {
	kinds := i.plan.needed(target.Resource)
	// A pin is not found by who names the target, so where older revisions
	// play a part the whole table must be current.
	selective := !i.plan.pinned(target.Resource)
	proofs, errs := make([]proof, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for n, gr := range kinds {
		all.Go(func() {
			f := i.feeds[gr]
			if selective {
				if p, ok := f.selected(ctx, target); ok {
					proofs[n] = p
					return
				}
			}
			proofs[n], errs[n] = f.prove(ctx)
		})
	}
	all.Wait()
	proved := map[schema.GroupResource]proof{}
	for n, gr := range kinds {
		proved[gr] = proofs[n]
	}
	return proved, cmp.Or(errs...)
}

// read answers from the tables, which it holds still meanwhile. With proofs, it
// answers only if they are about what the tables hold.
func (i *Index) read(target guard.Target, limit int, proofs map[schema.GroupResource]proof) (guard.Use, error) {
	kinds := i.plan.needed(target.Resource)
	// Always in the same order, or two readers and two writers could wait for
	// each other in a circle.
	slices.SortFunc(kinds, func(a, b schema.GroupResource) int { return cmp.Compare(a.String(), b.String()) })
	v := &view{plan: i.plan, tables: make(map[schema.GroupResource]*table, len(kinds))}
	for _, gr := range kinds {
		f := i.feeds[gr]
		p, proved := proofs[gr]
		switch {
		case p.absent:
			continue
		case p.table != nil:
			v.tables[gr] = p.table
			continue
		}
		f.mu.RLock()
		defer f.mu.RUnlock()
		if proved && (f.epoch != p.epoch || f.state != stateSynced) {
			return guard.Use{}, fmt.Errorf("read %s: %w", gr, errChanged)
		}
		v.tables[gr] = f.table
	}
	return v.use(target, limit)
}
