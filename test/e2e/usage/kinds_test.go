// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

var _ = Describe("A referring kind", func() {
	var k kinds
	BeforeEach(func() { k = newKinds() })

	It("refers to nothing while it is not installed, appears and goes", func(ctx SpecContext) {
		k.define(ctx, "invoices")
		index := k.start(ctx, cluster.Config, cluster.Config)
		for round := range 3 {
			expectUsers(ctx, index, k.plan("a"), 0)
			k.define(ctx, "subscriptions")
			k.create(ctx, "subscriptions", "one", "a")
			expectUsers(ctx, index, k.plan("a"), 1)
			if round == 1 {
				k.create(ctx, "invoices", "two", "a")
				Eventually(func() int { return index.Recall(k.plan("a"), 3).Total }).Should(Equal(2))
				k.remove(ctx, "invoices", "two")
			}
			k.undefine(ctx, "subscriptions")
			// It may still refuse until it has noticed.
			Eventually(func(g Gomega) {
				use, err := index.Of(ctx, k.plan("a"), 3)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(use.Total).To(BeZero())
			}).Should(Succeed())
		}
	})

	It("is never taken for absent while it comes and goes", func(ctx SpecContext) {
		k.define(ctx, "invoices")
		k.create(ctx, "invoices", "always", "kept")
		index := k.start(ctx, cluster.Config, cluster.Config)
		done := make(chan struct{})
		var asked atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				defer GinkgoRecover()
				for {
					select {
					case <-done:
						return
					default:
					}
					use, err := index.Of(ctx, k.plan("kept"), 3)
					Expect(err != nil || use.Total > 0).To(BeTrue(), "it was let pass")
					// What nobody uses is decided, or not while the kind is in between.
					use, err = index.Of(ctx, k.plan("free"), 3)
					Expect(err != nil || use.Total == 0).To(BeTrue(), "%+v", use)
					asked.Add(1)
				}
			})
		}
		for range 4 {
			k.define(ctx, "subscriptions")
			k.create(ctx, "subscriptions", "one", "now")
			expectUsers(ctx, index, k.plan("now"), 1)
			k.undefine(ctx, "subscriptions")
		}
		close(done)
		all.Wait()
		Expect(asked.Load()).To(BeNumerically(">", 20))
	})

	It("is followed to another version", func(ctx SpecContext) {
		k.define(ctx, "subscriptions", func(crd *apiextensionsv1.CustomResourceDefinition) {
			second := *crd.Spec.Versions[0].DeepCopy()
			second.Name, second.Storage = "v2", false
			crd.Spec.Versions = append(crd.Spec.Versions, second)
		})
		k.create(ctx, "subscriptions", "one", "a")
		index := k.start(ctx, cluster.Config, cluster.Config)
		expectUsers(ctx, index, k.plan("a"), 1)
		// v2 is stored now, and v1 is served no more.
		for _, patch := range []string{
			`[{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]`,
			`[{"op":"replace","path":"/spec/versions/0/served","value":false}]`,
		} {
			_, err := definitions.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, "subscriptions."+k.group, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred())
		}
		v2 := k.gvr("subscriptions")
		v2.Version = "v2"
		Eventually(func() error {
			_, err := client.Resource(v2).Namespace("default").Patch(ctx, "one", types.MergePatchType, []byte(`{"spec":{"plan":"b"}}`), metav1.PatchOptions{})
			return err
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			use, err := index.Of(ctx, k.plan("b"), 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(Equal(1))
			use, err = index.Of(ctx, k.plan("a"), 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(BeZero())
		}).Should(Succeed())
	})

	It("that cannot be converted makes only its own targets undecided", func(ctx SpecContext) {
		k.define(ctx, "invoices")
		k.define(ctx, "subscriptions")
		k.create(ctx, "subscriptions", "one", "a")
		// Stored as v1, and v2 is what would be read: through a webhook that is dead.
		crds := definitions.ApiextensionsV1().CustomResourceDefinitions()
		crd, err := crds.Get(ctx, "subscriptions."+k.group, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		second := *crd.Spec.Versions[0].DeepCopy()
		second.Name = "v2"
		crd.Spec.Versions[0].Storage = false
		crd.Spec.Versions = append(crd.Spec.Versions, second)
		crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{
			Strategy: apiextensionsv1.WebhookConverter,
			Webhook: &apiextensionsv1.WebhookConversion{
				ConversionReviewVersions: []string{"v1"},
				ClientConfig:             &apiextensionsv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/convert")},
			},
		}
		_, err = crds.Update(ctx, crd, metav1.UpdateOptions{})
		Expect(err).NotTo(HaveOccurred())
		v2 := k.gvr("subscriptions")
		v2.Version = "v2"
		Eventually(func() string {
			_, err := client.Resource(v2).List(ctx, metav1.ListOptions{})
			return fmt.Sprint(err)
		}).Should(ContainSubstring("conversion webhook"))

		index := k.start(ctx, cluster.Config, cluster.Config)
		_, err = ask(ctx, index, k.plan("a"))
		Expect(err).To(MatchError(And(ContainSubstring("subscriptions."+k.group), ContainSubstring("conversion webhook"))))
		expectUsers(ctx, index, k.tax("t"), 0) // subscriptions do not name taxes
		_, err = crds.Patch(ctx, "subscriptions."+k.group, types.MergePatchType, []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func(g Gomega) {
			use, err := index.Of(ctx, k.plan("a"), 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(Equal(1))
		}).Should(Succeed())
	})

	It("that may not be read makes only its own targets undecided", func(ctx SpecContext) {
		k.define(ctx, "invoices")
		k.define(ctx, "subscriptions")
		kube, err := kubernetes.NewForConfig(cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		grant := func(suffix, group string, resources ...string) func(context.Context) {
			name := "reader-" + suffix + "-" + k.group
			_, err := kube.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}},
			}, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			_, err = kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "reader-" + k.group}},
			}, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			return func(ctx context.Context) {
				Expect(kube.RbacV1().ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
				Expect(kube.RbacV1().ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
			}
		}
		grant("definitions", "apiextensions.k8s.io", "customresourcedefinitions")
		grant("invoices", k.group, "invoices")
		revoke := grant("subscriptions", k.group, "subscriptions")
		reader := rest.CopyConfig(cluster.Config)
		reader.Impersonate.UserName = "reader-" + k.group
		index := k.start(ctx, reader, reader)
		Eventually(func() error { _, err := index.Of(ctx, k.plan("a"), 3); return err }).Should(Succeed())

		revoke(ctx)
		Eventually(func() string {
			_, err := ask(ctx, index, k.plan("a"))
			return fmt.Sprint(err)
		}).Should(And(ContainSubstring("subscriptions."+k.group), ContainSubstring("forbidden")))
		expectUsers(ctx, index, k.tax("t"), 0)
		grant("subscriptions", k.group, "subscriptions")
		Eventually(func() error { _, err := index.Of(ctx, k.plan("a"), 3); return err }).Should(Succeed())
	})

	It("with an odd reference makes its targets undecided and is named", func(ctx SpecContext) {
		k.define(ctx, "subscriptions", func(crd *apiextensionsv1.CustomResourceDefinition) {
			crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
		})
		k.create(ctx, "subscriptions", "odd", "a")
		_, err := client.Resource(k.gvr("subscriptions")).Namespace("default").Patch(ctx, "odd", types.MergePatchType, []byte(`{"spec":{"plan":5}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		index := k.start(ctx, cluster.Config, cluster.Config)
		_, err = ask(ctx, index, k.plan("a"))
		Expect(err).To(MatchError(ContainSubstring("kind-subscriptions default/odd")))
		k.remove(ctx, "subscriptions", "odd")
		Eventually(func() error { _, err := index.Of(ctx, k.plan("a"), 3); return err }).Should(Succeed())
	})

	It("is asked by a selector where its definition offers one", func(ctx SpecContext) {
		k.define(ctx, "subscriptions", func(crd *apiextensionsv1.CustomResourceDefinition) {
			crd.Spec.Versions[0].SelectableFields = []apiextensionsv1.SelectableField{{JSONPath: ".spec.plan"}}
		})
		k.fill(ctx, 600)
		p, config := proxy(ctx)
		index := k.start(ctx, config, cluster.Config)
		Eventually(func() error { _, err := index.Of(ctx, k.plan("a"), 3); return err }).Should(Succeed())
		p.Freeze()
		before := proofs("selector")
		expectUsers(ctx, index, k.plan("a"), 0)
		Expect(proofs("selector")).To(BeNumerically(">", before))
		Expect(proofs("barrier")).To(BeZero())
		k.create(ctx, "subscriptions", "late", "a")
		expectUsers(ctx, index, k.plan("a"), 1)
	})

	It("is listed again by nobody who merely asks", func(ctx SpecContext) {
		k.define(ctx, "subscriptions")
		k.fill(ctx, 600)
		var lists atomic.Int64
		config := rest.CopyConfig(cluster.Config)
		config.Wrap(countLists(&lists))
		index := k.start(ctx, cluster.Config, config)
		expectUsers(ctx, index, k.plan("a"), 0)
		Expect(lists.Load()).To(BeZero(), "lists of more than one object")
	})
})

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// countLists counts the lists that ask for more than one object.
func countLists(n *atomic.Int64) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			query := r.URL.Query()
			if strings.HasSuffix(r.URL.Path, "/subscriptions") && query.Get("watch") == "" && query.Get("limit") != "1" {
				n.Add(1)
			}
			return next.RoundTrip(r)
		})
	}
}
