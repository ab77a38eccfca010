// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// byRevision is the path by which a tier names a feature in an older revision
// that something pins.
const byRevision = "servicetier {.spec.features[*]} in a pinned revision"

// referencePaths are all places of profile nuodb that can hold a reference.
var referencePaths = []string{
	"database {.spec.type.tierRef}", "domain {.spec.type.tierRef}", "servicetier {.spec.features[*]}", byRevision,
	"database {.spec.type.tierRef.featureOverrides[*]}", "domain {.spec.type.tierRef.featureOverrides[*]}",
}

var _ = Describe("Random operations by several users", func() {
	It("take no guarded object that was in use or not saved", func(ctx SpecContext) {
		namespaces := []string{must.Namespace(ctx, admin, "team"), must.Namespace(ctx, admin, "team")}
		history := watchAll(ctx, namespaces)
		operations := count(600, 20000)
		p := &players{namespaces: namespaces, operations: int64(operations), paths: map[string]int{}}
		random := newRandom()
		var work sync.WaitGroup
		for i := range users {
			config := rest.CopyConfig(cluster.Config)
			config.Impersonate = rest.ImpersonationConfig{UserName: fmt.Sprintf("user-%d", i), Groups: []string{"system:masters"}}
			user, err := dynamic.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			one := &player{players: p, client: user, random: rand.New(rand.NewPCG(random.Uint64(), uint64(i)))} //nolint:gosec // a test that can be repeated
			work.Go(func() {
				defer GinkgoRecover()
				for p.goOn() {
					one.act(ctx)
				}
			})
		}
		work.Wait()
		history.settle(ctx, namespaces[0])

		taken, violations := history.judge(p.deletes)
		Expect(violations).To(BeEmpty())
		for _, o := range taken {
			Expect(complete(ctx, o)).To(Succeed())
		}
		AddReportEntry("random operations", fmt.Sprintf("%d operations by %d users: %d deletes decided (%d of them by collection, %d as dry-run), %d of them refused, %d undecided; %d guarded objects gone, %d of them at first only marked because of a finalizer, all saved; %d references were made while a delete of their target was under way; refusals by path: %v",
			p.done.Load(), users, p.decided.Load(), p.collections.Load(), p.dryRuns.Load(), p.refused.Load(), p.undecided.Load(), len(taken), history.marked, history.races, p.paths))
		Expect(p.refused.Load()*3).To(BeNumerically(">=", p.decided.Load()), "a third of the deletes refused")
		Expect(slices.Collect(maps.Keys(p.paths))).To(ContainElements(referencePaths), "every reference path refuses some")
		Expect(len(taken)).To(BeNumerically(">", operations/100))
		Expect(history.marked).To(BeNumerically(">", 0), "a finalizer held some")
		Expect(p.collections.Load()).To(BeNumerically(">", 0))
		Expect(p.dryRuns.Load()).To(BeNumerically(">", 0))
	}, NodeTimeout(40*time.Minute))
})

const (
	// users is how many act at the same time.
	users = 8
	// patience is how many times as many operations are done until every
	// reference path has refused some.
	patience = 8
)

// players share what is known of their doings.
type players struct {
	namespaces                  []string
	operations                  int64
	done                        atomic.Int64
	decided, refused, undecided atomic.Int64
	collections, dryRuns        atomic.Int64 // of those decided

	mu      sync.Mutex
	deletes []*deletion
	paths   map[string]int
}

// goOn counts an operation and tells whether it is to be done.
func (p *players) goOn() bool {
	n := p.done.Add(1)
	if n <= p.operations {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.paths) < len(referencePaths) && n <= patience*p.operations {
		return true
	}
	p.done.Add(-1)
	return false
}

// deletion is one call that may have deleted guarded objects.
type deletion struct {
	resource        schema.GroupVersionResource
	namespace, name string // no name: a collection
	dryRun          bool
	// nothing was deleted, as the answer says.
	nothing bool
	// since is a version of the cluster before the call, until one after it.
	since, until int64
}

type player struct {
	*players
	client dynamic.Interface
	random *rand.Rand
}

func (p *player) pick(of ...string) string { return of[p.random.IntN(len(of))] }

func (p *player) name(prefix string) string { return fmt.Sprint(prefix, p.random.IntN(6)) }

// reference names an object that may be there or not, here or elsewhere.
func (p *player) reference(prefix string) map[string]any {
	ref := map[string]any{"name": p.name(prefix)}
	if p.random.IntN(2) == 0 {
		ref["namespace"] = p.pick(p.namespaces...)
	}
	return ref
}

func (p *player) references(prefix string) []any {
	refs := []any{}
	for range p.random.IntN(3) {
		refs = append(refs, p.reference(prefix))
	}
	return refs
}

// act does one random thing. Failures are part of the game: objects are there
// already, are gone, or have changed meanwhile.
func (p *player) act(ctx context.Context) {
	namespace := p.pick(p.namespaces...)
	switch n := p.random.IntN(24); {
	case n < 3:
		p.put(ctx, harness.Features(), object("HelmFeature", namespace, p.name("feature-"), map[string]any{"values": map[string]any{"n": p.random.Int64N(1000)}}))
	case n < 7:
		p.put(ctx, harness.Tiers(), object("ServiceTier", namespace, p.name("tier-"), map[string]any{"features": p.references("feature-")}))
	case n < 11:
		tier := p.reference("tier-")
		p.pin(ctx, namespace, tier)
		tier["featureOverrides"] = p.references("feature-")
		spec := map[string]any{"type": map[string]any{"tierRef": tier}}
		if n%2 == 0 {
			p.put(ctx, harness.Domains(), object("Domain", namespace, p.name("domain-"), spec))
		} else {
			p.put(ctx, harness.Databases(), object("Database", namespace, p.name("database-"), spec))
		}
	case n < 13:
		resource, prefix := harness.Domains(), "domain-"
		if n%2 == 0 {
			resource, prefix = harness.Databases(), "database-"
		}
		_ = p.client.Resource(resource).Namespace(namespace).Delete(ctx, p.name(prefix), metav1.DeleteOptions{})
	case n < 15:
		p.letGo(ctx, recorded()[p.random.IntN(len(recorded()))], namespace)
	case n < 19:
		p.delete(ctx, &deletion{resource: harness.Features(), namespace: namespace, name: p.name("feature-")})
	case n < 23:
		p.delete(ctx, &deletion{resource: harness.Tiers(), namespace: namespace, name: p.name("tier-")})
	case p.random.IntN(3) > 0:
		resource := harness.Features()
		if p.random.IntN(2) == 0 {
			resource = harness.Tiers()
		}
		p.delete(ctx, &deletion{resource: resource, namespace: namespace})
	default:
		replicas.Rotate() // the other replica's turn
	}
}

// put creates o, half of the time with a finalizer, or changes the one that is there.
// What the spec was before a tier keeps in its status.
func (p *player) put(ctx context.Context, resource schema.GroupVersionResource, o *unstructured.Unstructured) {
	objects := p.client.Resource(resource).Namespace(o.GetNamespace())
	if p.random.IntN(2) == 0 {
		o.SetFinalizers([]string{"example.com/hold"})
	}
	made, err := objects.Create(ctx, o, metav1.CreateOptions{})
	if statusOf(err).Reason == metav1.StatusReasonAlreadyExists {
		if made, err = objects.Get(ctx, o.GetName(), metav1.GetOptions{}); err != nil {
			return
		}
		made.Object["spec"] = o.Object["spec"]
		made, err = objects.Update(ctx, made, metav1.UpdateOptions{})
	}
	if err != nil || resource != harness.Tiers() {
		return
	}
	if changed, err := harness.AddRevision(made, keptRevisions); err == nil && changed {
		_, _ = objects.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	}
}

// keptRevisions is how many specs a tier keeps.
const keptRevisions = 4

// pin makes ref pin a revision that its tier keeps, or none.
func (p *player) pin(ctx context.Context, own string, ref map[string]any) {
	if p.random.IntN(3) == 0 {
		return
	}
	namespace, ok := ref["namespace"].(string)
	if !ok {
		namespace = own
	}
	tier, err := p.client.Resource(harness.Tiers()).Namespace(namespace).Get(ctx, ref["name"].(string), metav1.GetOptions{}) //nolint:forcetypeassert // made in this file
	if err != nil {
		return
	}
	if kept := storedIn(tier); len(kept) > 0 {
		ref["revision"] = kept[p.random.IntN(len(kept))].number
	}
}

// letGo removes the finalizers of what is Terminating, as its operator would.
func (p *player) letGo(ctx context.Context, resource schema.GroupVersionResource, namespace string) {
	objects := p.client.Resource(resource).Namespace(namespace)
	list, err := objects.List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, o := range list.Items {
		if o.GetDeletionTimestamp() != nil {
			_, _ = objects.Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		}
	}
}

func (p *player) delete(ctx context.Context, d *deletion) {
	d.dryRun = p.random.IntN(6) == 0
	options := metav1.DeleteOptions{}
	if d.dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	d.since = now(ctx)
	var err error
	objects := p.client.Resource(d.resource).Namespace(d.namespace)
	if d.name == "" {
		err = objects.DeleteCollection(ctx, options, metav1.ListOptions{})
	} else {
		err = objects.Delete(ctx, d.name, options)
	}
	d.until = now(ctx)
	d.nothing = err != nil && d.name != ""
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deletes = append(p.deletes, d)
	switch status := statusOf(err); {
	case err == nil:
		p.decide(d)
	case status.Code == 403:
		p.decide(d)
		p.refused.Add(1)
		for _, cause := range status.Details.Causes {
			kind, _, _ := strings.Cut(cause.Message, " ")
			path := kind + " " + cause.Field
			if strings.Contains(status.Message, cause.Message+" (revision ") {
				path += " in a pinned revision"
			}
			p.paths[path]++
		}
	case status.Code == 404:
	default:
		p.undecided.Add(1)
	}
}

func (p *player) decide(d *deletion) {
	p.decided.Add(1)
	if d.name == "" {
		p.collections.Add(1)
	}
	if d.dryRun {
		p.dryRuns.Add(1)
	}
}
