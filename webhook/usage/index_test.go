// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// liveOf asks the same world live.
func liveOf(t *testing.T, w *world) *Live {
	t.Helper()
	return &Live{Profiles: nuodb(t), Client: line{world: w, hang: newHang()}, Kinds: w}
}

func TestIndexStoredRevisions(t *testing.T) {
	t.Parallel()
	plural := map[string]string{"ServiceTier": "servicetiers", "Database": "databases", "Domain": "domains"}
	for name, tc := range storedCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			i := newIndexOf(t, w, newHang())
			for _, o := range tc.objects {
				object := o.(*unstructured.Unstructured)
				w.put(plural[object.GetKind()], object)
			}
			use, err := i.Of(t.Context(), feature(), -1)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("Of() = %+v, %v, want an error with %q", use, err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, use.First); diff != "" || use.Total != len(tc.want) {
				t.Errorf("total %d, referrers (-want +got):\n%s", use.Total, diff)
			}
		})
	}
}

// gambler makes random changes in a small world, so that they meet.
type gambler struct {
	*rand.Rand
	w *world
}

func (g gambler) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g gambler) ref(names ...string) map[string]any {
	ref := map[string]any{"name": g.pick(names...)}
	if g.IntN(2) == 0 {
		ref["namespace"] = g.pick("a", "b")
	}
	if g.IntN(3) == 0 {
		ref["revision"] = g.pick("1", "2", "3")
	}
	return ref
}

func (g gambler) move() {
	namespace, name := g.pick("a", "b"), g.pick("x", "y", "z")
	switch g.IntN(8) {
	case 0:
		g.w.remove(g.pick("databases", "domains", "servicetiers"), objectName{namespace, name})
	case 1, 2:
		spec := func() map[string]any { return map[string]any{"features": []any{g.ref("f", "g")}} }
		tier := tier(name, spec(), int64(1), spec(), int64(2), spec(), int64(3), g.bad(spec()))
		tier.SetNamespace(namespace)
		g.w.put("servicetiers", tier)
	default:
		plural, kind := "databases", "Database"
		if g.IntN(3) == 0 {
			plural, kind = "domains", "Domain"
		}
		ref := g.ref("x", "y", "z")
		if g.IntN(3) == 0 {
			ref["featureOverrides"] = []any{g.ref("f", "g")}
		}
		object := object(kind, namespace, name, map[string]any{"type": map[string]any{"tierRef": ref}})
		if g.IntN(40) == 0 {
			object.Object["spec"] = map[string]any{"type": map[string]any{"tierRef": int64(5)}}
		}
		if g.IntN(6) == 0 {
			object.Object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		}
		g.w.put(plural, object)
	}
}

func (g gambler) bad(spec map[string]any) any {
	if g.IntN(6) == 0 {
		return "%"
	}
	return spec
}

func (g gambler) target() guard.Target {
	if g.IntN(2) == 0 {
		return guard.Target{Resource: resource("helmfeatures"), Kind: "HelmFeature", Namespace: g.pick("a", "b"), Name: g.pick("f", "g")}
	}
	return guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: g.pick("a", "b", ""), Name: g.pick("x", "y", "z")}
}

// In random worlds, with a reader that hangs at random: the index lets nothing
// pass that a live list would not, and when it has caught up it says the same.
func TestIndexIsLive(t *testing.T) {
	t.Parallel()
	answers := map[string]int{}
	for seed := range uint64(40) {
		w, h := newWorld(), newHang()
		g := gambler{rand.New(rand.NewPCG(seed, 1)), w} //nolint:gosec // to be repeatable
		i, live := newIndexOf(t, w, h), liveOf(t, w)
		for step := range 40 {
			hangs := g.IntN(2) == 0
			h.set(hangs)
			for range g.IntN(4) {
				g.move()
			}
			target := g.target()
			limit := g.IntN(4) - 1
			use, err := i.Of(t.Context(), target, limit)
			want, wantErr := live.Of(t.Context(), target, limit)
			if err == nil && use.Total == 0 && (wantErr != nil || want.Total > 0) {
				t.Fatalf("seed %d step %d: let %s pass, live says %+v, %v", seed, step, target, want, wantErr)
			}
			h.set(false)
			settle(t, i, w)
			use, err = i.Of(t.Context(), target, limit)
			if diff := cmp.Diff(want, use); diff != "" || (err == nil) != (wantErr == nil) {
				t.Fatalf("seed %d step %d: %s: %v, live %v (-live +index):\n%s", seed, step, target, err, wantErr, diff)
			}
			switch {
			case err != nil:
				answers["undecided"]++
			case use.Total == 0:
				answers["free"]++
			case len(use.First) > 0 && use.First[0].Stored != "":
				answers["used by an older revision"]++
			default:
				answers["used"]++
			}
		}
	}
	for _, answer := range []string{"undecided", "free", "used", "used by an older revision"} {
		if answers[answer] < 20 {
			t.Errorf("%d times %s: the worlds are too plain", answers[answer], answer)
		}
	}
	t.Log(answers)
}

// many fills a world with so many databases that no page shows all.
func many(w *world) {
	for n := range pageSize + 100 {
		w.put("databases", object("Database", "a", fmt.Sprintf("db%04d", n), tierRef("other", "")))
	}
}

func TestIndexBarrier(t *testing.T) {
	t.Parallel()
	target := guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "a", Name: "t"}
	t.Run("sees what a hanging reader does not", func(t *testing.T) {
		t.Parallel()
		w, h := newWorld(), newHang()
		many(w)
		i := newIndexOf(t, w, h)
		settle(t, i, w)
		h.set(true)
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 0 {
			t.Fatalf("Of() = %+v, %v", use, err)
		}
		w.put("databases", object("Database", "a", "late", tierRef("t", "")))
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 1 {
			t.Fatalf("Of() = %+v, %v", use, err)
		}
		w.remove("databases", objectName{"a", "late"})
		h.set(false)
		settle(t, i, w)
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 0 {
			t.Errorf("Of() = %+v, %v, after the reader told the past again", use, err)
		}
	})
	t.Run("refuses by the past only for a while", func(t *testing.T) {
		t.Parallel()
		w, h := newWorld(), newHang()
		many(w)
		w.put("databases", object("Database", "a", "gone", tierRef("t", "")))
		i := newIndexOf(t, w, h)
		settle(t, i, w)
		h.set(true) // and for good
		w.remove("databases", objectName{"a", "gone"})
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 1 {
			t.Fatalf("Of() = %+v, %v", use, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		settleFeed(ctx, t, i.feeds[resource("databases")], w.now())
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 0 {
			t.Errorf("Of() = %+v, %v", use, err)
		}
	})
	t.Run("never lists all", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		many(w)
		i := newIndexOf(t, w, newHang())
		settle(t, i, w)
		w.mu.Lock()
		w.lists = nil
		w.mu.Unlock()
		if _, err := i.Of(t.Context(), target, 3); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, opts := range w.lists {
			if opts.Continue != "" || opts.Limit == 0 {
				t.Errorf("listed with %+v", opts)
			}
		}
	})
	t.Run("the past has expired", func(t *testing.T) {
		t.Parallel()
		w, h := newWorld(), newHang()
		many(w)
		i := newIndexOf(t, w, h)
		settle(t, i, w)
		h.set(true)
		w.put("databases", object("Database", "a", "late", tierRef("t", "")))
		w.forget()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if use, err := i.Of(ctx, target, 3); err == nil {
			t.Fatalf("Of() = %+v without the changes", use)
		}
		h.set(false)
		if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 1 {
			t.Errorf("Of() = %+v, %v, after it was listed again", use, err)
		}
	})
	t.Run("before the first sync", func(t *testing.T) {
		t.Parallel()
		w, h := newWorld(), newHang()
		many(w)
		h.set(true)
		i := newIndexOf(t, w, h)
		if use, err := i.Of(t.Context(), target, 3); err == nil || !strings.Contains(err.Error(), "for the first time") {
			t.Errorf("Of() = %+v, %v", use, err)
		}
		if err := i.Ready(nil); err == nil {
			t.Error("ready before the first sync")
		}
		h.set(false)
		settle(t, i, w)
		if err := i.Ready(nil); err != nil {
			t.Error(err)
		}
		for _, f := range i.sorted {
			f.mu.Lock()
			f.state = stateSyncing // as when its kind was installed just now
			f.mu.Unlock()
		}
		if err := i.Ready(nil); err != nil {
			t.Errorf("a kind that appears later takes the replica out of service: %v", err)
		}
	})
	t.Run("time went back", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		many(w)
		i := newIndexOf(t, w, newHang())
		settle(t, i, w)
		w.mu.Lock()
		w.version -= 50
		w.mu.Unlock()
		if use, err := i.Of(t.Context(), target, 3); err == nil || !strings.Contains(err.Error(), "went back") {
			t.Errorf("Of() = %+v, %v", use, err)
		}
	})
}

func TestIndexKinds(t *testing.T) {
	t.Parallel()
	target := guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "a", Name: "t"}
	w := newWorld()
	w.missing["databases"] = true
	i := newIndexOf(t, w, newHang())
	settle(t, i, w)
	if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 0 {
		t.Fatalf("not installed: Of() = %+v, %v", use, err)
	}
	// It appears and is used at once; nobody has told the index.
	w.mu.Lock()
	delete(w.missing, "databases")
	w.mu.Unlock()
	w.put("databases", object("Database", "a", "db", tierRef("t", "")))
	if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 1 {
		t.Fatalf("just installed: Of() = %+v, %v", use, err)
	}
	w.mu.Lock()
	w.missing["databases"] = true
	delete(w.objects, resource("databases"))
	w.mu.Unlock()
	i.feeds[resource("databases")].nudge()
	settleAbsent(t, i.feeds[resource("databases")])
	if use, err := i.Of(t.Context(), target, 3); err != nil || use.Total != 0 {
		t.Fatalf("gone: Of() = %+v, %v", use, err)
	}
}

func settleAbsent(t *testing.T, f *feed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		f.mu.RLock()
		absent, advanced := f.state == stateAbsent, f.advanced
		f.mu.RUnlock()
		if absent {
			return
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			t.Fatal("still not absent")
		}
	}
}

// A proof about what was thrown away says nothing about what is there now.
func TestProofOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld()
	i := newIndexOf(t, w, newHang())
	settle(t, i, w)
	target := guard.Target{Resource: resource("servicetiers"), Namespace: "a", Name: "t"}
	proofs, err := i.prove(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	f := i.feeds[resource("databases")]
	f.mu.Lock()
	f.forget(stateSyncing)
	f.mu.Unlock()
	if use, err := i.read(target, 3, proofs); !errors.Is(err, errChanged) {
		t.Errorf("read() = %+v, %v", use, err)
	}
}

// A request may not share a round that began before it did.
func TestRounds(t *testing.T) {
	t.Parallel()
	var r rounds
	var began []int
	hold := make(chan struct{})
	started := make(chan struct{}, 10)
	do := func(ctx context.Context, _ func()) (proof, error) {
		began = append(began, len(began)) // rounds do not overlap unless they say so
		n := len(began)
		started <- struct{}{}
		<-hold
		return proof{epoch: uint64(n)}, ctx.Err()
	}
	results := make(chan uint64, 10)
	ask := func() {
		p, err := r.join(t.Context(), do)
		if err != nil {
			t.Error(err)
		}
		results <- p.epoch
	}
	go ask()
	<-started
	for range 5 {
		go ask()
	}
	for { // until one of them has asked for the next round
		r.mu.Lock()
		waiting := r.next != nil
		r.mu.Unlock()
		if waiting {
			break
		}
	}
	close(hold)
	first := 0
	for range 6 {
		if <-results == 1 {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d requests shared the round of the first", first)
	}
}

// Two streams bring the same events, one late; order is by version alone.
func TestFeedStreams(t *testing.T) {
	t.Parallel()
	p := newPlan(nuodb(t))
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(p.kinds[resource("databases")], Options{Metrics: metrics})
	epoch := f.begin(Definition{})
	event := func(kind watch.EventType, version, tier string) {
		o := object("Database", "a", "db", tierRef(tier, ""))
		o.SetResourceVersion(version)
		if err := f.apply(epoch, kind, f.plan.read(o)); err != nil {
			t.Fatal(err)
		}
	}
	uses := func(tier string) int {
		v := view{plan: p, tables: map[schema.GroupResource]*table{resource("databases"): f.table}}
		use, err := v.use(guard.Target{Resource: resource("servicetiers"), Namespace: "a", Name: tier}, -1)
		if err != nil {
			t.Fatal(err)
		}
		return use.Total
	}
	event(watch.Added, "5", "x")
	if uses("x") != 0 {
		t.Error("an event counts before there is anything that it follows")
	}
	if err := f.replace(epoch, nil, 10); err != nil {
		t.Fatal(err)
	}
	event(watch.Added, "11", "x")
	event(watch.Modified, "12", "y")
	event(watch.Deleted, "13", "y")
	event(watch.Added, "11", "x") // the late one
	event(watch.Modified, "12", "y")
	if uses("x")+uses("y") != 0 {
		t.Error("the late stream brought the object back")
	}
	event(watch.Added, "14", "z")
	if err := f.replace(epoch, nil, 12); err != nil {
		t.Fatal(err)
	}
	if uses("z") != 1 {
		t.Error("an older list removed what is newer")
	}
	if err := f.replace(epoch-1, nil, 99); !errors.Is(err, errChanged) {
		t.Errorf("a list of another epoch: %v", err)
	}
}

// What is announced is not asked about every half minute, as long as it is announced.
func TestPauseOfAFeed(t *testing.T) {
	t.Parallel()
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(newPlan(nuodb(t)).kinds[resource("databases")], Options{Metrics: metrics})
	for _, tc := range []struct{ announced, followed, rarely bool }{{true, true, true}, {true, false, false}, {false, true, false}} {
		f.definitions.Store(tc.followed)
		if got := f.pauseOf(Definition{Announced: tc.announced}); (got == lookRarely) != tc.rarely {
			t.Errorf("%+v: looks again after %s", tc, got)
		}
	}
}
