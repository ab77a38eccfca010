// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// Of the kinds of profile many, thing0 to thing49, the first ones are installed
// all the time, the next ones come and go, and the last ones are never there.
const (
	manyKinds = 50
	manyStay  = 20
	manyCome  = 10
)

// manyProfile guards all of them. Each is referred to by a kind that stays and
// by one that comes and goes or is never there.
func manyProfile() string {
	var b strings.Builder
	b.WriteString("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: many}\nspec:\n  resources:\n")
	for i := range manyKinds {
		fmt.Fprintf(&b, "  - resource: thing%ds.many.example\n    referencedBy:\n", i)
		for _, by := range []int{(i + 1) % manyStay, manyStay + i%(manyKinds-manyStay)} {
			fmt.Fprintf(&b, "    - {resource: thing%ds.many.example, path: '{.spec.uses}'}\n", by)
		}
	}
	return b.String()
}

const manyRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: holdfast-many
  labels: {holdfast.dev/aggregate-to-serve: "true"}
rules:
- apiGroups: [many.example]
  resources: ["*"]
  verbs: [get, list, watch]
`

func manyCRD(i int) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: thing%[1]ds.many.example}
spec:
  group: many.example
  scope: Namespaced
  names: {kind: Thing%[1]d, plural: thing%[1]ds, singular: thing%[1]d}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
`, i)
}

func thing(i int, namespace, name, uses string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "many.example/v1", "kind": fmt.Sprintf("Thing%d", i),
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": map[string]any{"uses": uses},
	}}
}

func things(i int) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "many.example", Version: "v1", Resource: fmt.Sprintf("thing%ds", i)}
}

var _ = Describe("A profile of 50 kinds", func() {
	It("gives right verdicts and stays ready while kinds come and go", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		for i := range manyStay {
			must.Succeed(admin.RunInput(ctx, manyCRD(i), "kubectl", "apply", "-f", "-"))
		}
		for i := range manyStay {
			Expect(harness.Served(ctx, cluster.Config, fmt.Sprintf("thing%ds.many.example", i))).To(Succeed())
		}
		tally := &manyTally{}
		var stop atomic.Bool
		var work sync.WaitGroup
		for w := range 32 {
			work.Go(func() {
				defer GinkgoRecover()
				for n := 0; !stop.Load(); n++ {
					tally.try(ctx, namespace, fmt.Sprintf("w%d-%d", w, n), (w+n)%manyStay)
				}
			})
		}
		work.Go(func() {
			defer GinkgoRecover()
			for !stop.Load() {
				for _, h := range replicas.Each {
					Expect(h.Probe(ctx, "/readyz")).To(Succeed())
					tally.probes.Add(1)
				}
			}
		})
		for range count(3, 30) {
			comeAndGo(ctx)
		}
		stop.Store(true)
		work.Wait()
		AddReportEntry("many kinds", tally.String())
		log, err := replicas.Logs()
		Expect(err).NotTo(HaveOccurred())
		Expect(log).NotTo(ContainSubstring("panic"))
		Expect(tally.refused.Load()).To(BeNumerically(">", 100))
		Expect(tally.allowed.Load()).To(BeNumerically(">", 100))
		Expect(tally.undecided.Load()).To(BeNumerically("<", tally.allowed.Load()), "deletions that could not be decided")
		Expect(tally.late.Load()).To(BeNumerically("<", tally.allowed.Load()), "deletions that were refused although the user had gone")
	}, NodeTimeout(20*time.Minute))
})

// manyTally counts what became of deletions whose right answer is known.
type manyTally struct{ allowed, refused, late, undecided, probes atomic.Int32 }

func (t *manyTally) String() string {
	return fmt.Sprintf("%d allowed, %d refused, %d refused a moment too long, %d undecided, %d probes of readiness", t.allowed.Load(), t.refused.Load(), t.late.Load(), t.undecided.Load(), t.probes.Load())
}

// try deletes an object while something refers to it, and again when nothing
// does any more. Undecided is an answer that is allowed, as a wrong one is not.
func (t *manyTally) try(ctx context.Context, namespace, name string, kind int) {
	GinkgoHelper()
	user := (kind + 1) % manyStay
	used := create(ctx, things(kind), thing(kind, namespace, name, ""))
	create(ctx, things(user), thing(user, namespace, name+"-user", name))
	t.delete(ctx, used, things(kind), 403)
	for !t.delete(ctx, thing(user, namespace, name+"-user", name), things(user), 0) {
		Expect(ctx.Err()).NotTo(HaveOccurred())
	}
	// The index may hear a moment later that the user has gone.
	gone := time.Now()
	for !t.delete(ctx, used, things(kind), 0) {
		Expect(time.Since(gone)).To(BeNumerically("<", 15*time.Second), "%s is still refused", name)
	}
	Expect(complete(ctx, used)).To(Succeed())
}

// delete tells whether it got the answer wanted. One that comes early or late
// may be tried again; an allow where a refusal is wanted is the end.
func (t *manyTally) delete(ctx context.Context, o *unstructured.Unstructured, resource schema.GroupVersionResource, want int32) bool {
	GinkgoHelper()
	err := client.Resource(resource).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
	code := statusOf(err).Code
	switch {
	case code == 500:
		t.undecided.Add(1)
		return false
	case code == 403 && want == 0:
		t.late.Add(1)
		return false
	}
	Expect(code).To(Equal(want), "%s %s: %v", o.GetKind(), o.GetName(), err)
	if want == 0 {
		t.allowed.Add(1)
	} else {
		t.refused.Add(1)
	}
	return true
}

// comeAndGo installs kinds, has an object of each, and removes them.
func comeAndGo(ctx context.Context) {
	GinkgoHelper()
	var names []string
	var text strings.Builder
	for i := manyStay; i < manyStay+manyCome; i++ {
		names = append(names, fmt.Sprintf("thing%ds.many.example", i))
		text.WriteString(manyCRD(i))
	}
	must.Succeed(admin.RunInput(ctx, text.String(), "kubectl", "apply", "-f", "-"))
	Expect(harness.Served(ctx, cluster.Config, names...)).To(Succeed())
	for i := manyStay; i < manyStay+manyCome; i++ {
		Eventually(func() error {
			_, err := client.Resource(things(i)).Namespace("default").Create(ctx, thing(i, "default", "one", "nothing"), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		}).Should(Succeed())
	}
	// A definition with instances would be refused.
	for i := manyStay; i < manyStay+manyCome; i++ {
		Eventually(func() error {
			return client.Resource(things(i)).Namespace("default").Delete(ctx, "one", metav1.DeleteOptions{})
		}).Should(Or(Succeed(), Satisfy(apierrors.IsNotFound)))
	}
	// One whose instances cannot be listed within a second is refused, to be on
	// the safe side, and asked for again.
	Eventually(func(g Gomega) {
		r := admin.Kubectl(ctx, append([]string{"delete", "crd", "--ignore-not-found", "--timeout=300s"}, names...)...)
		g.Expect(r.Code).To(BeZero(), r.Output)
	}).WithTimeout(10 * time.Minute).Should(Succeed())
}
