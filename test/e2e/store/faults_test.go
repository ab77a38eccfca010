// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// failures is how many saves failed, by the metric.
func failures(ctx context.Context) int {
	GinkgoHelper()
	found := regexp.MustCompile(`holdfast_admission_snapshots_total\{outcome="failed"\} (\d+)`).FindStringSubmatch(metricsOf(ctx, Default))
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	Expect(err).NotTo(HaveOccurred())
	return n
}

// deleteMany creates and deletes objects, several at once, and expects of each
// that either it is there, or a readable snapshot of it is. It says how many went.
func deleteMany(ctx context.Context, resource schema.GroupVersionResource, n int) int {
	GinkgoHelper()
	namespace := must.Namespace(ctx, admin, "team")
	made := make([]*unstructured.Unstructured, n)
	for i := range made {
		made[i] = create(ctx, resource, namespace, fmt.Sprintf("n%d", i), map[string]any{"i": int64(i)})
	}
	var deleting sync.WaitGroup
	gone := make([]bool, n)
	for i := range made {
		deleting.Go(func() { gone[i] = remove(ctx, resource, namespace, made[i].GetName()) == nil })
	}
	deleting.Wait()
	went := 0
	for i, object := range made {
		_, err := client.Resource(resource).Namespace(namespace).Get(ctx, object.GetName(), metav1.GetOptions{})
		if err == nil {
			Expect(gone[i]).To(BeFalse(), "%s was answered as deleted", object.GetName())
			continue
		}
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
		went++
		if resource != notes() {
			continue
		}
		records := saved(ctx, object)
		Expect(records).NotTo(BeEmpty(), "%s is gone without a snapshot", object.GetName())
		_, err = store.Get(ctx, records[0].ID)
		Expect(err).NotTo(HaveOccurred())
	}
	return went
}

var _ = Describe("With a store that fails", func() {
	It("because the quota is used up, what must be saved stays, and what need not goes, counted and with a warning", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		const quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: full}, spec: {hard: {count/secrets: '0'}}}"
		must.Succeed(admin.RunInput(ctx, quota, "kubectl", "create", "-n", holdfast.Namespace, "-f", "-"))
		DeferCleanup(func(ctx SpecContext) {
			must.Succeed(admin.Kubectl(ctx, "delete", "resourcequota", "full", "-n", holdfast.Namespace))
		})
		Expect(deleteMany(ctx, notes(), 5)).To(BeZero())
		create(ctx, drafts(), namespace, "draft", map[string]any{})
		before := failures(ctx)
		r := admin.Kubectl(ctx, "delete", "draft", "draft", "-n", namespace)
		must.Succeed(r)
		Expect(r.Stderr).To(And(ContainSubstring("could not save draft "+namespace+"/draft before its deletion"), ContainSubstring("exceeded quota")))
		Expect(failures(ctx)).To(BeNumerically(">", before))
	})

	It("because its rights were taken away", func(ctx SpecContext) {
		must.Succeed(admin.Kubectl(ctx, "delete", "rolebinding", "holdfast", "-n", holdfast.Namespace))
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Apply(ctx)).To(Succeed()) })
		Expect(deleteMany(ctx, notes(), 5)).To(BeZero())
		Expect(deleteMany(ctx, drafts(), 5)).To(Equal(5))
	})

	It("because the API server is slow, and at last does not answer", func(ctx SpecContext) {
		proxy, _, err := harness.NewProxy(ctx, cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		text, err := os.ReadFile(holdfast.Kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		direct := holdfast.Kubeconfig
		holdfast.Kubeconfig = direct + ".slow"
		Expect(os.WriteFile(holdfast.Kubeconfig, bytes.ReplaceAll(text, []byte(cluster.Config.Host), []byte(proxy.URL())), 0o600)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			proxy.Thaw()
			Expect(holdfast.Kill()).To(Succeed())
			holdfast.Kubeconfig = direct
			Expect(holdfast.Start(ctx)).To(Succeed())
			Expect(proxy.Close()).To(Succeed())
		})
		Expect(holdfast.Stop()).To(Succeed())
		Expect(holdfast.Start(ctx)).To(Succeed())
		proxy.Delay(500 * time.Millisecond) // there, and back again
		deleteMany(ctx, notes(), 10)
		proxy.Delay(3 * time.Second)
		deleteMany(ctx, notes(), 10)
		proxy.Freeze()
		Expect(deleteMany(ctx, notes(), 3)).To(BeZero(), "went although nobody could save it")
		proxy.Thaw()
		Eventually(func() int { return deleteMany(ctx, notes(), 3) }).Should(Equal(3))
	})

	It("because many write to the same snapshots at once", func(ctx SpecContext) {
		made := create(ctx, notes(), must.Namespace(ctx, admin, "team"), "wanted", map[string]any{})
		record, err := store.Save(ctx, notes().GroupResource(), made, snapshot.Provenance{Operation: "change"})
		Expect(err).NotTo(HaveOccurred())
		storm, end := context.WithCancel(ctx)
		var writing sync.WaitGroup
		for range 4 {
			writing.Go(func() {
				for storm.Err() == nil {
					_, _ = store.SetState(storm, record.ID, snapshot.StateKept, false)
					_ = store.SetPin(storm, record.ID, &snapshot.Pin{Reason: "storm"})
				}
			})
		}
		err = remove(ctx, notes(), made.GetNamespace(), made.GetName())
		end()
		writing.Wait()
		Expect(err).NotTo(HaveOccurred())
		snap, err := store.Get(ctx, record.ID)
		Expect(err).NotTo(HaveOccurred())
		Expect(snap.LastAttempt.Operation).To(Equal("delete"))
		Expect(deleteMany(ctx, notes(), 20)).To(Equal(20))
	})
})
