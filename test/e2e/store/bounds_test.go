// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("The history", func() {
	It("of 1,000 changes is listed in under a second, and is cut to less than 20 times the object's size", func(ctx SpecContext) {
		Expect(holdfast.Stop()).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Start(ctx)).To(Succeed()) })
		made := create(ctx, notes(), must.Namespace(ctx, admin, "team"), "busy", map[string]any{"text": strings.Repeat("some of it repeats. ", 150)})
		raw, err := made.MarshalJSON()
		Expect(err).NotTo(HaveOccurred())
		var saving sync.WaitGroup
		work := make(chan int)
		for range 8 {
			saving.Go(func() {
				defer GinkgoRecover()
				for i := range work {
					version := made.DeepCopy()
					version.Object["spec"].(map[string]any)["change"] = fmt.Sprint(i)
					_, err := store.Save(ctx, notes().GroupResource(), version, snapshot.Provenance{Operation: "change"})
					Expect(err).NotTo(HaveOccurred())
				}
			})
		}
		for i := range 1000 {
			work <- i
		}
		close(work)
		saving.Wait()
		// On a busy machine one of several is what it takes.
		Eventually(func() time.Duration {
			began := time.Now()
			Expect(saved(ctx, made)).To(HaveLen(1000))
			return time.Since(began)
		}).Should(BeNumerically("<", time.Second))

		// What is registered would ask Holdfast, which is away.
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast"))
		dry := admin.Holdfast(ctx, "recovery", "prune", "--dry-run")
		must.Succeed(dry)
		Expect(dry.Stderr).To(ContainSubstring("990 snapshots would go"))
		Expect(saved(ctx, made)).To(HaveLen(1000))
		unasked := admin.Holdfast(ctx, "recovery", "prune")
		Expect(unasked.Code).To(Equal(4), unasked.Stderr)
		Expect(saved(ctx, made)).To(HaveLen(1000))
		pinned := saved(ctx, made)[500].ID
		must.Succeed(admin.Holdfast(ctx, "recovery", "pin", pinned, "--reason", "to look at"))
		must.Succeed(admin.Holdfast(ctx, "recovery", "prune", "--yes"))
		left := saved(ctx, made)
		Expect(left).To(HaveLen(11))
		Expect(left[10].ID).To(Equal(pinned))

		total := 0
		for _, r := range left {
			secret, err := kube.CoreV1().Secrets(holdfast.Namespace).Get(ctx, "holdfast-snapshot-"+r.ID, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			size, err := secret.Marshal()
			Expect(err).NotTo(HaveOccurred())
			total += len(size)
		}
		Expect(total).To(BeNumerically("<", 20*len(raw)), "an object of %d bytes", len(raw))
	})

	It("is kept within its bounds by 'serve', and counted", func(ctx SpecContext) {
		made := create(ctx, notes(), must.Namespace(ctx, admin, "team"), "busy", map[string]any{})
		for i := range 15 {
			version := made.DeepCopy()
			version.Object["spec"] = map[string]any{"change": fmt.Sprint(i)}
			_, err := store.Save(ctx, notes().GroupResource(), version, snapshot.Provenance{Operation: "change"})
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(func() int { return len(saved(ctx, made)) }).Should(Equal(10))
		own, err := store.List(ctx, snapshot.Filter{Namespace: holdfast.Namespace})
		Expect(err).NotTo(HaveOccurred())
		Expect(own).To(BeEmpty(), "snapshots of Holdfast's own Secrets")
		Eventually(func(g Gomega) {
			text := metricsOf(ctx, g)
			g.Expect(text).To(MatchRegexp(`(?m)^holdfast_snapshots [1-9]`))
			g.Expect(text).To(MatchRegexp(`(?m)^holdfast_snapshot_bytes [1-9]`))
			g.Expect(text).To(MatchRegexp(`(?m)^holdfast_snapshot_oldest_timestamp_seconds 1\.[0-9]+e\+09`))
		}).Should(Succeed())
	})
})

var _ = Describe("The latest copy of what is gone", func() {
	refused := func(err error, text string) {
		GinkgoHelper()
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err.Error()).To(ContainSubstring(text))
	}
	It("is not deleted, nor is the namespace that holds it; older ones are", func(ctx SpecContext) {
		made := create(ctx, notes(), must.Namespace(ctx, admin, "team"), "lost", map[string]any{})
		older := made.DeepCopy()
		older.Object["spec"] = map[string]any{"older": "yes"}
		_, err := store.Save(ctx, notes().GroupResource(), older, snapshot.Provenance{Operation: "change"})
		Expect(err).NotTo(HaveOccurred())
		Expect(remove(ctx, notes(), made.GetNamespace(), "lost")).To(Succeed())
		records := saved(ctx, made)
		Expect(records).To(HaveLen(2))
		name := func(i int) string { return "holdfast-snapshot-" + records[i].ID }

		refused(remove(ctx, secrets(), holdfast.Namespace, name(0)), "holds the latest copy of note "+made.GetNamespace()+"/lost, which is gone")
		refused(client.Resource(schemaNamespaces()).Delete(ctx, holdfast.Namespace, metav1.DeleteOptions{}), "holds the latest copies of objects that are gone")
		selector := metav1.ListOptions{LabelSelector: "holdfast.dev/uid=" + string(made.GetUID())}
		Expect(client.Resource(secrets()).Namespace(holdfast.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, selector)).NotTo(Succeed())
		Eventually(func() error {
			_, err := kube.CoreV1().Secrets(holdfast.Namespace).Get(ctx, name(0), metav1.GetOptions{})
			return err
		}).Should(Succeed())
		_ = remove(ctx, secrets(), holdfast.Namespace, name(1)) // the collection may have taken it
		Expect(saved(ctx, made)).To(HaveLen(1))

		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", records[0].ID, "--yes"))
		Expect(remove(ctx, secrets(), holdfast.Namespace, name(0))).To(Succeed())
	})

	It("may be deleted together with Holdfast's registration, whatever has become of Holdfast", func(ctx SpecContext) {
		made := create(ctx, notes(), must.Namespace(ctx, admin, "team"), "lost", map[string]any{})
		Expect(remove(ctx, notes(), made.GetNamespace(), "lost")).To(Succeed())
		Expect(holdfast.Kill()).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Start(ctx)).To(Succeed()) })
		name := "holdfast-snapshot-" + saved(ctx, made)[0].ID
		Expect(remove(ctx, secrets(), holdfast.Namespace, name)).To(MatchError(ContainSubstring("own.holdfast.dev")))
		// All that is needed to repair it passes.
		must.Succeed(admin.Kubectl(ctx, "create", "secret", "generic", "other", "-n", holdfast.Namespace))
		must.Succeed(admin.Kubectl(ctx, "delete", "secret", "other", "-n", holdfast.Namespace))
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast"))
		Eventually(func() error { return remove(ctx, secrets(), holdfast.Namespace, name) }).Should(Succeed())
	})
})
