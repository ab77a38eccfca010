// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// tamper changes the Secret of a snapshot.
func tamper(ctx context.Context, id string, change func(*corev1.Secret)) {
	GinkgoHelper()
	secrets := kube.CoreV1().Secrets(holdfastNamespace)
	secret, err := secrets.Get(ctx, "holdfast-snapshot-"+id, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	change(secret)
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("A snapshot", func() {
	DescribeTable("that was spoiled is an error of its own, and mended when the object is saved again", func(ctx SpecContext, change func(*corev1.Secret), want string) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		good := newTier(ctx, space, "good")
		id, goodID := save(ctx, tier), save(ctx, good)
		tamper(ctx, id, change)
		destroy(ctx, space, "good")

		r := admin.Holdfast(ctx, "recovery", "list", "-n", space)
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring(goodID))
		must.Succeed(admin.Holdfast(ctx, "recovery", "list", "-o", "json"))
		expectOneLine(admin.Holdfast(ctx, "recovery", "show", id), 1, id+": "+want)
		r = admin.Holdfast(ctx, "recovery", "restore", id, goodID, "--yes")
		Expect(r.Code).To(Equal(3), r.Stderr)
		Expect(r.Stdout).To(ContainSubstring(want))
		expectBack(ctx, harness.Tiers(), good)

		Expect(save(ctx, tier)).To(Equal(id))
		must.Succeed(admin.Holdfast(ctx, "recovery", "show", id))
	},
		Entry("its payload is cut off", func(s *corev1.Secret) { s.Data["object"] = s.Data["object"][:20] }, "its content was changed or cut off"),
		Entry("its payload is changed", func(s *corev1.Secret) { s.Data["object"][20] ^= 1 }, "its content was changed or cut off"),
		Entry("its data is gone", func(s *corev1.Secret) { s.Data = nil }, "its format is not marked"),
		Entry("its format is unknown", func(s *corev1.Secret) {
			s.Data["format"], s.Annotations["holdfast.dev/snapshot-format"] = []byte("7"), "7"
		}, `format "7" is unknown to this version of holdfast`),
		Entry("its annotations are gone", func(s *corev1.Secret) { s.Annotations, s.Data["sum"] = nil, []byte("?") }, "its content was changed or cut off"),
	)

	It("is a Secret of its own type that nobody owns", func(ctx SpecContext) {
		space := newNamespace(ctx)
		id := save(ctx, newTier(ctx, space, "t"))
		secret, err := kube.CoreV1().Secrets(holdfastNamespace).Get(ctx, "holdfast-snapshot-"+id, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Type).To(Equal(corev1.SecretType("holdfast.dev/snapshot")))
		Expect(secret.OwnerReferences).To(BeEmpty())
	})

	It("of a Secret shows its values only when asked to, and nowhere else", func(ctx SpecContext) {
		space := newNamespace(ctx)
		must.Succeed(admin.RunInput(ctx, "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: "+space+"}, stringData: {password: planted-marker}}", "kubectl", "apply", "-f", "-"))
		id := saveAs(ctx, schema.GroupResource{Resource: "secrets"}, get(ctx, schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, space, "s"))
		const encoded = "cGxhbnRlZC1tYXJrZXI="
		must.Succeed(admin.Kubectl(ctx, "-n", space, "delete", "secret", "s"))
		for _, args := range [][]string{
			{"list"},
			{"list", "-o", "wide"},
			{"list", "-o", "json"},
			{"list", "secrets", "-o", "yaml"},
			{"show", id},
			{"show", id, "-o", "json"},
			{"restore", id, "--dry-run", "-o", "json"},
			{"restore", id, "--yes", "-o", "json"},
		} {
			r := admin.Holdfast(ctx, append([]string{"recovery"}, args...)...)
			must.Succeed(r)
			Expect(r.Stdout+r.Stderr).NotTo(SatisfyAny(ContainSubstring("planted-marker"), ContainSubstring(encoded)), fmt.Sprint(args))
		}
		r := admin.Kubectl(ctx, "-n", holdfastNamespace, "describe", "secrets")
		Expect(r.Stdout).NotTo(SatisfyAny(ContainSubstring("planted-marker"), ContainSubstring(encoded)))
		r = admin.Holdfast(ctx, "recovery", "show", id, "--reveal")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("password: " + encoded))
		restored, err := kube.CoreV1().Secrets(space).Get(ctx, "s", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(restored.Data["password"])).To(Equal("planted-marker"))
	})

	It("that is too large is refused, and nothing is stored", func(ctx SpecContext) {
		r, err := newRecovery(cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		obj := &unstructured.Unstructured{Object: tierObject("space", "big")}
		obj.SetUID("11111111-0000-0000-0000-000000000000")
		noise := make([]byte, 13<<20) // in base64 more than any API server takes
		_, err = rand.Read(noise)
		Expect(err).NotTo(HaveOccurred())
		obj.Object["spec"] = map[string]any{"noise": base64.StdEncoding.EncodeToString(noise)}
		_, err = r.Snapshots.Save(ctx, schema.GroupResource{Group: "cp.nuodb.com", Resource: "servicetiers"}, obj, snapshot.Provenance{})
		Expect(err).To(MatchError(snapshot.ErrTooLarge))
		records, err := r.Snapshots.List(ctx, snapshot.Filter{UID: obj.GetUID()})
		Expect(err).NotTo(HaveOccurred())
		Expect(records).To(BeEmpty())
	})

	It("is stored as the largest objects that fit", func(ctx SpecContext) {
		space := newNamespace(ctx)
		must.Succeed(admin.RunInput(ctx, "{apiVersion: v1, kind: ConfigMap, metadata: {name: big, namespace: "+space+"}, data: {a: \""+strings.Repeat("0123456789", 100<<10)+"\"}}", "kubectl", "create", "-f", "-"))
		big := get(ctx, configMaps(), space, "big")
		id := saveAs(ctx, schema.GroupResource{Resource: "configmaps"}, big)
		must.Succeed(admin.Kubectl(ctx, "-n", space, "delete", "configmap", "big"))
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", id, "--yes"))
		Expect(get(ctx, configMaps(), space, "big").Object["data"]).To(Equal(big.Object["data"]))
	})
})

// counted counts requests by method, and those that ask for whole objects.
type counted struct {
	next         http.RoundTripper
	lists, whole *atomic.Int32
}

// RoundTrip counts and sends.
func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/secrets") {
		c.lists.Add(1)
		if !strings.Contains(req.Header.Get("Accept"), "PartialObjectMetadataList") {
			c.whole.Add(1)
		}
	}
	return c.next.RoundTrip(req)
}

var _ = Describe("Many snapshots", func() {
	It("are listed page by page, newest first, without their payloads", func(ctx SpecContext) {
		r, err := newRecovery(cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		const many = 1200
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				defer GinkgoRecover()
				for i := worker; i < many; i += 4 {
					obj := &unstructured.Unstructured{Object: tierObject("crowd", fmt.Sprintf("t%d", i))}
					obj.SetUID(types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)))
					_, err := r.Snapshots.Save(ctx, schema.GroupResource{Group: "cp.nuodb.com", Resource: "servicetiers"}, obj, snapshot.Provenance{Operation: "delete"})
					Expect(err).NotTo(HaveOccurred())
				}
			})
		}
		wg.Wait()
		var lists, whole atomic.Int32
		config := rest.CopyConfig(cluster.Config)
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &counted{next, &lists, &whole} })
		r, err = newRecovery(config)
		Expect(err).NotTo(HaveOccurred())
		start := time.Now()
		records, err := r.Snapshots.List(ctx, snapshot.Filter{Namespace: "crowd"})
		Expect(err).NotTo(HaveOccurred())
		AddReportEntry("time to list", fmt.Sprintf("%d of more snapshots: %s", many, time.Since(start)))
		Expect(records).To(HaveLen(many))
		Expect(lists.Load()).To(BeNumerically(">=", 3))
		Expect(whole.Load()).To(BeZero())
		for i := 1; i < many; i++ {
			Expect(records[i].SavedAt.After(records[i-1].SavedAt)).To(BeFalse(), "not newest first")
		}
		out := admin.Holdfast(ctx, "recovery", "list", "-n", "crowd", "-o", "json")
		must.Succeed(out)
		var list struct {
			Items []struct {
				Now string `json:"now"`
			} `json:"items"`
		}
		Expect(json.Unmarshal([]byte(out.Stdout), &list)).To(Succeed())
		Expect(list.Items).To(HaveLen(many))
		Expect(list.Items).To(HaveEach(HaveField("Now", "gone")))
		Expect(kube.CoreV1().Secrets(holdfastNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "holdfast.dev/snapshot"})).To(Succeed())
	})

	It("of one version that are taken at once are one", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		ids := make(chan string, 40)
		var wg sync.WaitGroup
		for range cap(ids) {
			wg.Go(func() {
				defer GinkgoRecover()
				ids <- save(ctx, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(tier.Object)})
			})
		}
		wg.Wait()
		close(ids)
		first := <-ids
		for id := range ids {
			Expect(id).To(Equal(first))
		}
		Expect(snapshotsOf(ctx, space, "t")).To(HaveLen(1))
	})
})
