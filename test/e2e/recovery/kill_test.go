// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

func schemaKind(kind string) schema.GroupKind {
	return schema.GroupKind{Group: "cp.nuodb.com", Kind: kind}
}

// allWrites is more than any of the jobs below makes.
const allWrites = 40

// untilUnharmed runs a job that is killed at its first write, then at its
// second, and so on, until one is not killed any more, and gives how many
// were. Each starts from what begin makes and ends in check.
func untilUnharmed(ctx context.Context, answered bool, begin func(space string) job, check func(space string)) int {
	GinkgoHelper()
	for at := int32(1); at < allWrites; at++ {
		space := newNamespace(ctx)
		j := begin(space)
		j.Kubeconfig, j.At, j.Answered = cluster.Kubeconfig, at, answered
		killed, err := runVictim(ctx, j)
		Expect(err).NotTo(HaveOccurred(), "killed at write %d", at)
		By(fmt.Sprintf("killed at write %d: %v", at, killed))
		check(space)
		if !killed {
			return int(at - 1)
		}
	}
	Fail("the job does not end")
	return 0
}

// madeTogether are a feature and a tier that uses it.
type madeTogether struct{ feature, tier *unstructured.Unstructured }

var _ = Describe("A recovery that is killed", func() {
	for _, answered := range []bool{false, true} {
		when := map[bool]string{false: "before", true: "after"}[answered]

		It("in an undo "+when+" any of its writes is finished by running it again", func(ctx SpecContext) {
			var before madeTogether
			kills := untilUnharmed(ctx, answered, func(space string) job {
				before.feature = newFeature(ctx, space, "f")
				before.tier = newTier(ctx, space, "t", map[string]any{"name": "f"})
				deleteByMistake(ctx, "servicetier", space, "t")
				deleteByMistake(ctx, "helmfeature", space, "f")
				return job{Undo: []string{"ServiceTier/" + space + "/t", "HelmFeature/" + space + "/f"}}
			}, func(space string) {
				r := admin.Holdfast(ctx, "recovery", "undo", "servicetier/t", "helmfeature/f", "-n", space, "--yes")
				must.Succeed(r)
				expectBack(ctx, harness.Features(), before.feature)
				after := expectBack(ctx, harness.Tiers(), before.tier)
				Expect(snapshotsOf(ctx, space, "t")).To(HaveLen(1))
				// Nothing is left to be done, and nothing is done twice.
				must.Succeed(admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes"))
				Expect(get(ctx, harness.Tiers(), space, "t").GetResourceVersion()).To(Equal(after.GetResourceVersion()))
			})
			// Save, strip, create, status, journal; without status for the feature.
			Expect(kills).To(Equal(9), "writes of the undo")
		})

		It("in a restore "+when+" any of its writes is finished by running it again", func(ctx SpecContext) {
			var before *unstructured.Unstructured
			var id string
			kills := untilUnharmed(ctx, answered, func(space string) job {
				before = newTier(ctx, space, "t")
				id = save(ctx, before)
				destroy(ctx, space, "t")
				return job{Restore: []string{id}}
			}, func(space string) {
				must.Succeed(admin.Holdfast(ctx, "recovery", "restore", id, "--yes"))
				after := expectBack(ctx, harness.Tiers(), before)
				must.Succeed(admin.Holdfast(ctx, "recovery", "restore", id, "--yes"))
				Expect(get(ctx, harness.Tiers(), space, "t").GetResourceVersion()).To(Equal(after.GetResourceVersion()))
			})
			Expect(kills).To(Equal(4), "journal, create, status, journal")
		})
	}
})

var _ = Describe("A recovery that is killed after the status", func() {
	It("leaves what the operator has made of the status since", func(ctx SpecContext) {
		prepare(ctx)
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		killed, err := runVictim(ctx, job{Kubeconfig: cluster.Kubeconfig, At: 4, Answered: true, Undo: []string{"ServiceTier/" + space + "/t"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(killed).To(BeTrue())
		const newer = `{"status":{"history":{"revisions":[{"generation":1,"creationTimestamp":"2026-03-03T00:00:00Z","spec":"e30K"}]}}}`
		operated, err := client.Resource(harness.Tiers()).Namespace(space).Patch(ctx, "t", types.MergePatchType, []byte(newer), metav1.PatchOptions{FieldManager: "operator"}, "status")
		Expect(err).NotTo(HaveOccurred())
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		must.Succeed(r)
		Expect(cmp.Diff(operated.Object, get(ctx, harness.Tiers(), space, "t").Object)).To(BeEmpty())
		Expect(snapshotsOf(ctx, space, "t")[0].Journal.Phase).To(Equal(snapshot.PhaseDone))
	})
})

// save takes a snapshot of an object as it is, and gives its ID.
func save(ctx context.Context, obj *unstructured.Unstructured) string {
	GinkgoHelper()
	return saveAs(ctx, schema.GroupResource{Group: "cp.nuodb.com", Resource: "servicetiers"}, obj)
}

// faulty is the library with a fault in its Nth write.
func faulty(ctx context.Context, at int32, before, after func() error) *recovery.Recovery {
	GinkgoHelper()
	config := rest.CopyConfig(cluster.Config)
	var writes atomic.Int32
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &faults{next: next, at: at, before: before, after: after, writes: &writes}
	})
	prepare(ctx)
	r, err := newRecovery(config)
	Expect(err).NotTo(HaveOccurred())
	return r
}

// prepare makes the key of the digests, which is a write of the first to need
// it, and none of those that a spec counts.
func prepare(ctx context.Context) {
	GinkgoHelper()
	r, err := newRecovery(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	Expect(r.Snapshots.Prepare(ctx)).To(Succeed())
}

// undo plans and runs the undo of tier t.
func undo(ctx context.Context, r *recovery.Recovery, space string, between func()) *recovery.Outcome {
	GinkgoHelper()
	t, err := target(ctx, r, "ServiceTier", space, "t")
	Expect(err).NotTo(HaveOccurred())
	plan, err := r.PlanUndo(ctx, []recovery.Target{t})
	Expect(err).NotTo(HaveOccurred())
	Expect(plan.Work()).To(Equal(1), "%+v", plan.Items[0])
	between()
	outcomes := r.Run(ctx, plan, func(*recovery.Outcome) {})
	Expect(outcomes).To(HaveLen(1))
	return outcomes[0]
}

var _ = Describe("An undo whose requests go wrong", func() {
	lost := func() error { return errors.New("connection reset") }

	DescribeTable("brings the object back all the same", func(ctx SpecContext, at int, before, after func() error) {
		space := newNamespace(ctx)
		old := newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		o := undo(ctx, faulty(ctx, int32(at), before, after), space, func() {})
		Expect(o.Result).To(Equal(recovery.ResultDone), o.Reason)
		expectBack(ctx, harness.Tiers(), old)
	},
		Entry("the removal of the finalizers is not sent", 2, lost, nil),
		Entry("the answer to the removal of the finalizers is lost", 2, nil, lost),
		Entry("the creation is not sent", 3, lost, nil),
		Entry("the answer to the creation is lost", 3, nil, lost),
		Entry("the status is not sent", 4, lost, nil),
		Entry("the answer to the status is lost", 4, nil, lost),
	)

	It("changes nothing when the object cannot be saved", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		terminating := get(ctx, harness.Tiers(), space, "t")
		o := undo(ctx, faulty(ctx, 1, lost, nil), space, func() {})
		Expect(o.Result).To(Equal(recovery.ResultFailed))
		Expect(o.Reason).To(ContainSubstring("save snapshot"))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(terminating))
	})

	It("finishes although its context is cancelled while the object is away", func(parent SpecContext) {
		space := newNamespace(parent)
		old := newTier(parent, space, "t")
		deleteByMistake(parent, "servicetier", space, "t")
		ctx, cancel := context.WithCancel(parent)
		r := faulty(ctx, 2, nil, func() error { cancel(); return nil })
		o := undo(ctx, r, space, func() {})
		Expect(o.Result).To(Equal(recovery.ResultDone), o.Reason)
		expectBack(parent, harness.Tiers(), old)
	})

	It("does not touch an object that somebody else has put in its place", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		var other *unstructured.Unstructured
		o := undo(ctx, faulty(ctx, 0, nil, nil), space, func() {
			destroy(ctx, space, "t")
			apply(ctx, tierObject(space, "t"))
			other = get(ctx, harness.Tiers(), space, "t")
		})
		Expect(o.Result).To(Equal(recovery.ResultFailed))
		Expect(o.Reason).To(Equal("somebody else has created an object of its name meanwhile; it is not touched"))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(other))
	})

	It("does not touch an object that somebody else creates while it is away", func(ctx SpecContext) {
		space := newNamespace(ctx)
		old := newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		r := faulty(ctx, 2, nil, func() error {
			apply(ctx, featureObject(space, "unrelated"))
			apply(ctx, tierObject(space, "t"))
			return nil
		})
		o := undo(ctx, r, space, func() {})
		Expect(o.Result).To(Equal(recovery.ResultFailed))
		Expect(o.Reason).To(ContainSubstring("somebody else has created an object of its name meanwhile"))
		Expect(get(ctx, harness.Tiers(), space, "t").Object["status"]).To(BeNil())
		// What was there is saved.
		records := snapshotsOf(ctx, space, "t")
		Expect(records).To(HaveLen(1))
		Expect(records[0].UID).To(Equal(old.GetUID()))
		Expect(records[0].Journal).To(BeNil())
	})

	It("starts over when somebody writes to the object between its saving and its removal", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		r := faulty(ctx, 2, func() error { return retouch(ctx, space, "t", 7) }, nil)
		o := undo(ctx, r, space, func() {})
		Expect(o.Result).To(Equal(recovery.ResultDone), o.Reason)
		Expect(get(ctx, harness.Tiers(), space, "t").GetAnnotations()).To(HaveKeyWithValue("retouched", "7"))
		records := snapshotsOf(ctx, space, "t")
		Expect(records).To(HaveLen(2))
		Expect(records[0].Journal.Phase).To(Equal(snapshot.PhaseDone))
		Expect(records[1].Journal).To(BeNil(), "the version that did not come back")
	})

	It("keeps up with somebody who keeps writing to the object", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		stop, last := make(chan struct{}), make(chan []string)
		go func() {
			defer GinkgoRecover()
			done := []string{""}
			for n := 0; ; n++ {
				select {
				case <-stop:
					last <- done
					return
				case <-time.After(10 * time.Millisecond):
				}
				err := retouch(ctx, space, "t", n)
				if err == nil {
					done = append(done, fmt.Sprint(n))
				} else if !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
					Expect(err).NotTo(HaveOccurred())
				}
			}
		}()
		o := undo(ctx, faulty(ctx, 0, nil, nil), space, func() {})
		close(stop)
		written := <-last
		Expect(len(written)).To(BeNumerically(">", 1), "nothing was written meanwhile")
		Expect(o.Result).To(Equal(recovery.ResultDone), o.Reason)
		after := get(ctx, harness.Tiers(), space, "t")
		Expect(after.GetDeletionTimestamp()).To(BeNil())
		Expect(after.GetFinalizers()).To(ConsistOf(finalizer, "example.com/second"))
		// The API server compares the version and then deletes without doing so
		// (deleteWithoutFinalizers in k8s.io/apiserver/pkg/registry/generic/registry/store.go),
		// so that one write may fall in between. No other may get lost.
		Expect(after.GetAnnotations()["retouched"]).To(BeElementOf(written[len(written)-2:]), "a write got lost of %v", written)
	})
})

// retouch writes an annotation.
func retouch(ctx context.Context, space, name string, n int) error {
	obj, err := client.Resource(harness.Tiers()).Namespace(space).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	annotations := obj.GetAnnotations()
	annotations["retouched"] = fmt.Sprint(n)
	obj.SetAnnotations(annotations)
	_, err = client.Resource(harness.Tiers()).Namespace(space).Update(ctx, obj, metav1.UpdateOptions{})
	return err
}
