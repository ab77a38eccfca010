// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const (
	// dependents is how many objects belong to the one that is deleted.
	dependents = 40
	// together is by how much the members of a set may have missed each other:
	// as long as it may take to read and save them all on a busy machine.
	together = 20 * time.Second
)

// churn changes ConfigMaps that belong to a crate again and again, and notes when.
type churn struct {
	namespace string

	mu      sync.Mutex
	written map[string][]time.Time // by name; the place is the number that is written
}

func (c *churn) name(i int) string { return fmt.Sprintf("part-%02d", i) }

// run writes until ctx ends or what it writes has gone.
func (c *churn) run(ctx context.Context) {
	for round := 1; ctx.Err() == nil; round++ {
		for i := range dependents {
			patch := fmt.Appendf(nil, `{"data":{"round":"%d"}}`, round)
			_, err := kube.CoreV1().ConfigMaps(c.namespace).Patch(ctx, c.name(i), types.MergePatchType, patch, metav1.PatchOptions{})
			if err != nil {
				continue // it has gone, or this is the end
			}
			c.mu.Lock()
			for len(c.written[c.name(i)]) <= round {
				c.written[c.name(i)] = append(c.written[c.name(i)], time.Now())
			}
			c.mu.Unlock()
		}
	}
}

// start creates the ConfigMaps of a crate and changes them until ctx ends.
func (c *churn) start(ctx context.Context, owner, uid string, running *sync.WaitGroup) {
	GinkgoHelper()
	c.written = map[string][]time.Time{}
	for i := range dependents {
		_, err := kube.CoreV1().ConfigMaps(c.namespace).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: c.name(i), OwnerReferences: []metav1.OwnerReference{{APIVersion: "stores.example/v1", Kind: "Crate", Name: owner, UID: types.UID(uid)}}},
			Data:       map[string]string{"round": "0"},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		c.written[c.name(i)] = []time.Time{time.Now()}
	}
	running.Go(func() { c.run(ctx) })
}

// expectTogether fails unless all members of a set are there, readable, and were
// as they are saved at about the same time.
func (c *churn) expectTogether(ctx context.Context, set snapshot.SetRecord, uid string) {
	GinkgoHelper()
	whole, err := store.Set(ctx, set.ID)
	Expect(err).NotTo(HaveOccurred())
	Expect(whole.Members).To(HaveLen(dependents + 1))
	c.mu.Lock()
	defer c.mu.Unlock()
	var latestBegin, firstEnd time.Time
	for _, m := range whole.Members {
		snap, err := store.Get(ctx, m.Snapshot)
		Expect(err).NotTo(HaveOccurred(), m.String())
		Expect(snap.Object.GetUID()).To(Equal(m.UID), m.String())
		if m.Resource != "configmaps" {
			Expect(string(m.UID)).To(Equal(uid))
			continue
		}
		Expect(string(snap.Object.GetOwnerReferences()[0].UID)).To(Equal(uid), m.String())
		round := 0
		_, err = fmt.Sscan(snap.Object.Object["data"].(map[string]any)["round"].(string), &round)
		Expect(err).NotTo(HaveOccurred())
		written := c.written[m.Name]
		if round >= len(written) {
			continue // its writer was not told that it is written
		}
		if begin := written[round]; begin.After(latestBegin) {
			latestBegin = begin
		}
		if round+1 < len(written) && (firstEnd.IsZero() || written[round+1].Before(firstEnd)) {
			firstEnd = written[round+1]
		}
	}
	if !firstEnd.IsZero() {
		Expect(latestBegin.Sub(firstEnd)).To(BeNumerically("<", together), "one member had changed already when another came to be as it is saved")
	}
}

var _ = Describe("kill -9 at random moments", func() {
	It("leaves a complete set whose members belong together of what is deleted while its dependents change", func(ctx SpecContext) {
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 7)) //nolint:gosec // moments, not secrets
		parts := &churn{namespace: must.Namespace(ctx, admin, "place")}
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Crate, metadata: {name: busy, namespace: %s}, spec: {size: 1}}", parts.namespace))
		uid := uidOf(ctx, stored("crates"), parts.namespace, "busy")
		changing, still := context.WithCancel(ctx)
		var running sync.WaitGroup
		DeferCleanup(func(ctx SpecContext) {
			still()
			running.Wait()
			if !holdfast.Running() {
				Expect(holdfast.Start(ctx)).To(Succeed())
			}
		})
		parts.start(changing, "busy", uid, &running)
		restart := func() {
			moment := time.NewTimer(time.Duration(random.IntN(700)) * time.Millisecond)
			<-moment.C
			Expect(holdfast.Kill()).To(Succeed())
			Expect(holdfast.Start(ctx)).To(Succeed())
		}
		for range 3 {
			restart()
		}
		By("deleting it while it is killed once more")
		running.Go(func() {
			defer GinkgoRecover()
			restart()
		})
		Eventually(func() int {
			return admin.Kubectl(ctx, "delete", "crate", "busy", "-n", parts.namespace, "--ignore-not-found", "--wait=false").Code
		}).Should(BeZero())
		still()
		running.Wait()
		Eventually(func(g Gomega) {
			records, err := store.List(ctx, snapshot.Filter{UID: types.UID(uid)})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(records).NotTo(BeEmpty())
			g.Expect(records[0].State).To(Equal(snapshot.StateDeleted))
			g.Expect(records[0].Bypass).To(BeFalse())
		}).Should(Succeed())
		set := latestSet(ctx, "crates.stores.example", parts.namespace, "busy")
		Expect(set.Complete).To(BeTrue())
		parts.expectTogether(ctx, set, uid)
	})
})
