// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// parallel is how many deletions are under way at once.
const parallel = 32

var _ = Describe("kill -9 in the middle of parallel deletes", func() {
	It("never lets an object go that was not saved", func(ctx SpecContext) {
		namespace, random := must.Namespace(ctx, admin, "team"), newRandom()
		rounds, gone, failed := count(20, 200), 0, 0
		for round := range rounds {
			objects := make([]*unstructured.Unstructured, parallel)
			for i := range objects {
				objects[i] = create(ctx, harness.Features(), object("HelmFeature", namespace, fmt.Sprintf("f-%d-%d", round, i), map[string]any{"values": map[string]any{"round": int64(round)}}))
			}
			killed := killDuring(random, func() { failed += deleteAll(ctx, objects) })
			for _, o := range objects {
				if isGone(ctx, o) {
					gone++
					Expect(complete(ctx, o)).To(Succeed(), "round %d, %d replicas killed", round, killed)
				}
			}
			Expect(replicas.Start(ctx)).To(Succeed())
			Expect(deleteAll(ctx, objects)).To(BeZero(), "deletes fail although all replicas run again")
			for _, o := range objects {
				Expect(complete(ctx, o)).To(Succeed())
			}
		}
		AddReportEntry("kill -9", fmt.Sprintf("%d rounds of %d deletes: %d went through and %d failed while replicas were killed", rounds, parallel, gone, failed))
		Expect(gone).To(BeNumerically(">", 0), "nothing was deleted: the kills came too early to show anything")
		Expect(failed).To(BeNumerically(">", 0), "nothing failed: the kills came too late to show anything")
	}, NodeTimeout(40*time.Minute))
})

// killDuring kills one or both replicas at random moments while do runs.
func killDuring(random *rand.Rand, do func()) (killed int) {
	GinkgoHelper()
	victims := random.Perm(len(replicas.Each))[:1+random.IntN(len(replicas.Each))]
	var work sync.WaitGroup
	for _, v := range victims {
		// Deletes take some milliseconds each, all together some hundred.
		moment := time.NewTimer(time.Duration(random.IntN(250)) * time.Millisecond)
		work.Go(func() {
			defer GinkgoRecover()
			<-moment.C
			Expect(replicas.Each[v].Kill()).To(Succeed())
		})
	}
	do()
	work.Wait()
	return len(victims)
}

// deleteAll deletes features at the same time and counts those that fail.
func deleteAll(ctx context.Context, objects []*unstructured.Unstructured) (failed int) {
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, o := range objects {
		work.Go(func() {
			err := client.Resource(harness.Features()).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			if err != nil && statusOf(err).Code != 404 {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return failed
}

func isGone(ctx context.Context, o *unstructured.Unstructured) bool {
	GinkgoHelper()
	return gone(ctx, harness.Features(), o.GetNamespace(), o.GetName(), o.GetUID())
}
