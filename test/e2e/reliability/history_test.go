// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// history is every version of every object, in the order in which the API
// server committed them: all kinds share one count of versions.
type history struct {
	// races counts references that were made while a deletion of their target
	// was under way, and that it need not have seen.
	races int
	// marked counts the guarded objects that a finalizer held.
	marked int

	// closed when no more events are wanted.
	closed atomic.Bool

	mu      sync.Mutex
	changes map[schema.GroupVersionResource][]change
}

// change is one event: from version on, the object is as it says.
type change struct {
	version int64
	object  *unstructured.Unstructured
	deleted bool
	refs    []ref
}

func version(text string) int64 {
	GinkgoHelper()
	v, err := strconv.ParseInt(text, 10, 64)
	Expect(err).NotTo(HaveOccurred())
	return v
}

// watchAll records from now on, until ctx ends.
func watchAll(ctx context.Context, namespaces []string) *history {
	GinkgoHelper()
	h := &history{changes: map[schema.GroupVersionResource][]change{}}
	for _, resource := range recorded() {
		list, err := client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		Expect(err).NotTo(HaveOccurred())
		w, err := client.Resource(resource).Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(w.Stop)
		go func() {
			defer GinkgoRecover()
			for event := range w.ResultChan() {
				if h.closed.Load() {
					return
				}
				o, ok := event.Object.(*unstructured.Unstructured)
				Expect(ok).To(BeTrue(), "watch of %s: %v", resource.Resource, event.Object)
				if !slices.Contains(namespaces, o.GetNamespace()) {
					continue
				}
				h.mu.Lock()
				h.changes[resource] = append(h.changes[resource], change{version(o.GetResourceVersion()), o, event.Type == watch.Deleted, refsOf(o)})
				h.mu.Unlock()
			}
		}()
	}
	return h
}

// now is a version of the cluster at which everything is committed that was
// answered before the call.
func now(ctx context.Context) int64 {
	GinkgoHelper()
	list, err := client.Resource(harness.Features()).Namespace("nowhere").List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	return version(list.GetResourceVersion())
}

// settle returns when everything that was done so far is recorded.
func (h *history) settle(ctx context.Context, namespace string) {
	GinkgoHelper()
	for _, resource := range recorded() {
		last := create(ctx, resource, object(kindOf(resource), namespace, "last", nil))
		Eventually(func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.ContainsFunc(h.changes[resource], func(c change) bool { return c.object.GetUID() == last.GetUID() })
		}).Should(BeTrue())
	}
	h.closed.Store(true)
}

func recorded() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{harness.Features(), harness.Tiers(), harness.Domains(), harness.Databases()}
}

func kindOf(resource schema.GroupVersionResource) string {
	return map[string]string{"helmfeatures": "HelmFeature", "servicetiers": "ServiceTier", "domains": "Domain", "databases": "Database"}[resource.Resource]
}

// judge goes through all guarded objects that are gone, or marked as deleted:
// a finalizer only puts off what was decided with the mark. It gives back their
// last states, and what is wrong: each that no deletion asked for, and each
// that was in use before any of the deletions that may have taken it began.
func (h *history) judge(deletes []*deletion) (taken []*unstructured.Unstructured, violations []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, resource := range []schema.GroupVersionResource{harness.Features(), harness.Tiers()} {
		last, marked := map[string]*unstructured.Unstructured{}, map[types.UID]bool{}
		for _, c := range h.changes[resource] {
			name := c.object.GetNamespace() + "/" + c.object.GetName()
			before := last[name]
			last[name] = c.object
			if marked[c.object.GetUID()] || !c.deleted && c.object.GetDeletionTimestamp() == nil {
				continue
			}
			if !c.deleted {
				marked[c.object.GetUID()] = true
				h.marked++
			}
			taken = append(taken, before)
			since, asked := earliest(deletes, resource, c)
			if !asked {
				violations = append(violations, name+" is gone, and nobody has deleted it")
			}
			for _, use := range h.uses(resource.Resource, c) {
				if use.version > since {
					h.races++
					continue
				}
				violations = append(violations, fmt.Sprintf("%s %s is gone since version %d, deleted not before %d, though %s %s/%s has named it since version %d",
					resource.Resource, name, c.version, since, use.object.GetKind(), use.object.GetNamespace(), use.object.GetName(), use.version))
			}
		}
	}
	return taken, violations
}

// earliest is when the first deletion began that may have taken the object of c.
// References that came later than that may have come in its midst.
func earliest(deletes []*deletion, resource schema.GroupVersionResource, c change) (since int64, asked bool) {
	for _, d := range deletes {
		fits := d.resource == resource && !d.dryRun && d.namespace == c.object.GetNamespace() && (d.name == "" || d.name == c.object.GetName())
		if !fits || d.nothing || d.since > c.version || d.until < c.version {
			continue
		}
		if !asked || d.since < since {
			since, asked = d.since, true
		}
	}
	return since, asked
}

// uses are the changes since which the object of gone is in use without a
// break, as of its deletion: because an object names it, or because a tier names
// it in an older revision and something pins that.
func (h *history) uses(resource string, gone change) (uses []change) {
	names := func(r ref) (ref, bool) {
		// Whoever merely pins another revision has named it without a break.
		r.pinned = ""
		return r, r.resource == resource && r.namespace == gone.object.GetNamespace() && r.name == gone.object.GetName()
	}
	pins := func(r ref) (ref, bool) { return r, r.pinned != "" }
	older := map[pin]change{}
	for _, s := range h.lasting(harness.Tiers(), gone.version, names) {
		if s.ref.stored == "" {
			uses = append(uses, s.since)
		} else {
			older[pin{s.since.object.GetNamespace(), s.since.object.GetName(), s.ref.stored}] = s.since
		}
	}
	for _, referring := range []schema.GroupVersionResource{harness.Domains(), harness.Databases()} {
		for _, s := range h.lasting(referring, gone.version, names) {
			uses = append(uses, s.since)
		}
		for _, s := range h.lasting(referring, gone.version, pins) {
			tier, held := older[pin{s.ref.namespace, s.ref.name, s.ref.pinned}]
			switch {
			case held && tier.version > s.since.version:
				uses = append(uses, tier)
			case held:
				uses = append(uses, s.since)
			}
		}
	}
	return uses
}

// pin is a revision of a tier.
type pin struct{ namespace, name, revision string }

// standing is a reference, and the change since which an object holds it.
type standing struct {
	ref   ref
	since change
}

// lasting lists the references that fit, as fit gives them, which objects hold
// as of a version, with the change since which they have done so without a break.
func (h *history) lasting(resource schema.GroupVersionResource, before int64, fit func(ref) (ref, bool)) (all []standing) {
	held := map[string]map[ref]change{}
	for _, c := range h.changes[resource] {
		if c.version >= before {
			break
		}
		name := c.object.GetNamespace() + "/" + c.object.GetName()
		earlier := held[name]
		delete(held, name)
		if c.deleted {
			continue
		}
		for _, r := range c.refs {
			r, fits := fit(r)
			if !fits {
				continue
			}
			if held[name] == nil {
				held[name] = map[ref]change{}
			}
			if since, already := earlier[r]; already {
				held[name][r] = since
			} else {
				held[name][r] = c
			}
		}
	}
	for _, refs := range held {
		for r, since := range refs {
			all = append(all, standing{r, since})
		}
	}
	return all
}
