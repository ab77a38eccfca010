// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// many is how many instances a definition, or a namespace, has.
const many = 500

// createMany makes pallets and returns their UIDs.
func createMany(ctx context.Context, namespace string) map[types.UID]bool {
	GinkgoHelper()
	var mu sync.Mutex
	uids := map[types.UID]bool{}
	names := make(chan int)
	var making sync.WaitGroup
	for range 8 {
		making.Go(func() {
			defer GinkgoRecover()
			for i := range names {
				made, err := client.Resource(stored("pallets")).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "stores.example/v1", "kind": "Pallet", "metadata": map[string]any{"name": fmt.Sprintf("p-%d", i)}, "spec": map[string]any{"number": int64(i)},
				}}, metav1.CreateOptions{})
				Expect(err).NotTo(HaveOccurred())
				mu.Lock()
				uids[made.GetUID()] = true
				mu.Unlock()
			}
		})
	}
	for i := range many {
		names <- i
	}
	close(names)
	making.Wait()
	return uids
}

// expectAllOrNothing deletes until that is allowed: as long as it is refused,
// all instances are there, and of whatever has gone then, Holdfast was asked,
// and it can be brought back.
func expectAllOrNothing(ctx context.Context, namespace string, args ...string) {
	GinkgoHelper()
	uids := createMany(ctx, namespace)
	began, refused := time.Now(), 0
	Eventually(func() int {
		r := admin.Kubectl(ctx, append([]string{"delete", "--wait=false"}, args...)...)
		if r.Code != 0 {
			refused++
			AddReportEntry("refused", r.Stderr)
			list, err := client.Resource(stored("pallets")).Namespace(namespace).List(ctx, metav1.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(HaveLen(many), "it was refused, and yet something is gone")
		}
		return r.Code
	}).WithTimeout(5 * time.Minute).Should(BeZero())
	// A namespace that no profile keeps is let go at once; what is in it is asked
	// about one by one.
	if args[0] != "namespace" {
		Expect(savedOf(ctx, namespace, uids)).To(HaveLen(many), "it was allowed before all of them were saved")
	}
	AddReportEntry("allowed", fmt.Sprintf("after %s, and %d refusals", time.Since(began), refused))
	Eventually(func(g Gomega) {
		records := savedOf(ctx, namespace, uids)
		g.Expect(records).To(HaveLen(many))
		for _, r := range records {
			g.Expect(r.State).To(Equal(snapshot.StateDeleted), r.Path())
			g.Expect(r.Bypass).To(BeFalse(), r.Path())
		}
	}).WithTimeout(3 * time.Minute).WithPolling(time.Second).Should(Succeed())
	for _, r := range savedOf(ctx, namespace, uids) {
		_, err := store.Get(ctx, r.ID)
		Expect(err).NotTo(HaveOccurred())
	}
}

// savedOf are the latest records of objects.
func savedOf(ctx context.Context, namespace string, uids map[types.UID]bool) map[types.UID]snapshot.Record {
	GinkgoHelper()
	records, err := store.List(ctx, snapshot.Filter{Namespace: namespace})
	Expect(err).NotTo(HaveOccurred())
	latest := map[types.UID]snapshot.Record{}
	for _, r := range records {
		if _, later := latest[r.UID]; !later && uids[r.UID] {
			latest[r.UID] = r
		}
	}
	return latest
}

var _ = Describe("500 instances", func() {
	It("are saved before they go with their namespace", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		expectAllOrNothing(ctx, namespace, "namespace", namespace)
	})

	It("are saved before their definition goes, or it stays", func(ctx SpecContext) {
		DeferCleanup(func(ctx SpecContext) {
			Eventually(func() int { return admin.Kubectl(ctx, "get", "crd", "pallets.stores.example").Code }).ShouldNot(BeZero())
			define(ctx, "pallets", "Pallet")
		})
		expectAllOrNothing(ctx, must.Namespace(ctx, admin, "place"), "crd", "pallets.stores.example")
	})
})
