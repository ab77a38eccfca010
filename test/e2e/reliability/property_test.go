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
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// referencePaths are all places of profile nuodb that can hold a reference.
var referencePaths = []string{
	"database {.spec.type.tierRef}", "domain {.spec.type.tierRef}", "servicetier {.spec.features[*]}",
	"database {.spec.type.tierRef.featureOverrides[*]}", "domain {.spec.type.tierRef.featureOverrides[*]}",
}

var _ = Describe("Random operations by several users", func() {
	It("take no guarded object that was in use or not saved", func(ctx SpecContext) {
		namespaces := []string{newNamespace(ctx), newNamespace(ctx)}
		history := watchAll(ctx, namespaces)
		operations := count(600, 20000)
		p := &players{namespaces: namespaces, paths: map[string]int{}}
		p.left.Store(int64(operations))
		random := newRandom()
		var work sync.WaitGroup
		for i := range 8 {
			config := rest.CopyConfig(cluster.Config)
			config.Impersonate = rest.ImpersonationConfig{UserName: fmt.Sprintf("user-%d", i), Groups: []string{"system:masters"}}
			user, err := dynamic.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			one := &player{players: p, client: user, random: rand.New(rand.NewPCG(random.Uint64(), uint64(i)))} //nolint:gosec // a test that can be repeated
			work.Go(func() {
				defer GinkgoRecover()
				for p.left.Add(-1) >= 0 {
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
		AddReportEntry("random operations", fmt.Sprintf("%d operations: %d deletes decided, %d of them refused, %d undecided; %d guarded objects gone, all saved; %d references were made while a delete of their target was under way; refusals by path: %v",
			operations, p.decided.Load(), p.refused.Load(), p.undecided.Load(), len(taken), history.races, p.paths))
		Expect(p.refused.Load()*3).To(BeNumerically(">=", p.decided.Load()), "a third of the deletes refused")
		Expect(slices.Collect(maps.Keys(p.paths))).To(ContainElements(referencePaths), "every reference path refuses some")
		Expect(len(taken)).To(BeNumerically(">", operations/100))
	}, NodeTimeout(40*time.Minute))
})

// players share what is known of their doings.
type players struct {
	namespaces                  []string
	left                        atomic.Int64
	decided, refused, undecided atomic.Int64

	mu      sync.Mutex
	deletes []*deletion
	paths   map[string]int
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
	switch n := p.random.IntN(20); {
	case n < 3:
		p.put(ctx, harness.Features(), object("HelmFeature", namespace, p.name("feature-"), map[string]any{"values": map[string]any{"n": p.random.Int64N(1000)}}))
	case n < 6:
		p.put(ctx, harness.Tiers(), object("ServiceTier", namespace, p.name("tier-"), map[string]any{"features": p.references("feature-")}))
	case n < 10:
		tier := p.reference("tier-")
		tier["featureOverrides"] = p.references("feature-")
		spec := map[string]any{"type": map[string]any{"tierRef": tier}}
		if n%2 == 0 {
			p.put(ctx, harness.Domains(), object("Domain", namespace, p.name("domain-"), spec))
		} else {
			p.put(ctx, harness.Databases(), object("Database", namespace, p.name("database-"), spec))
		}
	case n < 12:
		resource, prefix := harness.Domains(), "domain-"
		if n%2 == 0 {
			resource, prefix = harness.Databases(), "database-"
		}
		_ = p.client.Resource(resource).Namespace(namespace).Delete(ctx, p.name(prefix), metav1.DeleteOptions{})
	case n < 16:
		p.delete(ctx, &deletion{resource: harness.Features(), namespace: namespace, name: p.name("feature-")})
	case n < 19:
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

// put creates o, or changes the one that is there.
func (p *player) put(ctx context.Context, resource schema.GroupVersionResource, o *unstructured.Unstructured) {
	objects := p.client.Resource(resource).Namespace(o.GetNamespace())
	_, err := objects.Create(ctx, o, metav1.CreateOptions{})
	if statusOf(err).Reason != metav1.StatusReasonAlreadyExists {
		return
	}
	old, err := objects.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil {
		return
	}
	old.Object["spec"] = o.Object["spec"]
	_, _ = objects.Update(ctx, old, metav1.UpdateOptions{})
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
		p.decided.Add(1)
	case status.Code == 403:
		p.decided.Add(1)
		p.refused.Add(1)
		for _, cause := range status.Details.Causes {
			kind, _, _ := strings.Cut(cause.Message, " ")
			p.paths[kind+" "+cause.Field]++
		}
	case status.Code == 404:
	default:
		p.undecided.Add(1)
	}
}
