// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// metric is the value of one of Holdfast's metrics, -1 while it is not there.
func metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, holdfast.MetricsURL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return -1, lines.Err()
}

// unregistered takes Holdfast's webhook configuration away, and its right to
// put it back, for the rest of the spec.
func unregistered(ctx SpecContext) {
	GinkgoHelper()
	role, err := kube.RbacV1().ClusterRoles().Get(ctx, "holdfast", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	for i, rule := range role.Rules {
		if rule.Resources[0] == "validatingwebhookconfigurations" {
			role.Rules[i].Verbs = []string{"get", "list", "watch"}
		}
	}
	_, err = kube.RbacV1().ClusterRoles().Update(ctx, role, metav1.UpdateOptions{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		Expect(holdfast.Apply(ctx)).To(Succeed())
		Eventually(func() int { return admin.Kubectl(ctx, "get", "validatingwebhookconfiguration", "holdfast").Code }).Should(BeZero())
	})
	// It may be put back once more while the right still seems to be there.
	Eventually(func(g Gomega) {
		admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast", "--ignore-not-found")
		g.Consistently(func() int { return admin.Kubectl(ctx, "get", "validatingwebhookconfiguration", "holdfast").Code }, "1s").Should(Equal(1))
	}).Should(Succeed())
}

// ways are how a crate can be removed without Holdfast being asked.
var ways = map[string]func(ctx SpecContext, namespace, name string){
	"a configuration that cannot reach it": func(ctx SpecContext, namespace, name string) {
		// Like that of a Holdfast that is down, if it were told to be ignored then.
		must.Apply(ctx, admin, `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: lame}
webhooks:
- name: lame.holdfast.dev
  clientConfig: {url: "https://127.0.0.1:1/guard"}
  failurePolicy: Ignore
  sideEffects: None
  admissionReviewVersions: [v1]
  timeoutSeconds: 1
  rules: [{apiGroups: [stores.example], apiVersions: ["*"], resources: [crates], operations: [DELETE]}]
`)
		DeferCleanup(func(ctx SpecContext) { admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "lame") })
		must.Succeed(admin.Kubectl(ctx, "delete", "crate", name, "-n", namespace))
	},
	"a configuration that was removed": func(ctx SpecContext, namespace, name string) {
		must.Succeed(admin.Kubectl(ctx, "delete", "crate", name, "-n", namespace))
	},
	"/finalize": func(ctx SpecContext, namespace, _ string) {
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", namespace, "--wait=false"))
		finalized := false
		Eventually(func(g Gomega) {
			if !finalized {
				_, err := kube.CoreV1().Namespaces().Finalize(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.UpdateOptions{})
				if !apierrors.IsNotFound(err) {
					g.Expect(err).NotTo(HaveOccurred())
				}
				finalized = true
			}
			list, err := client.Resource(stored("crates")).Namespace(namespace).List(ctx, metav1.ListOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			for _, left := range list.Items { // what the namespace controller did not come to
				err := client.Resource(stored("crates")).Namespace(namespace).Delete(ctx, left.GetName(), metav1.DeleteOptions{})
				if apierrors.IsNotFound(err) { // the namespace: what it held can only be deleted with it there
					_, err = kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
				}
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(list.Items).To(BeEmpty())
		}).Should(Succeed())
	},
	"the cascade of its definition": func(ctx SpecContext, _, _ string) {
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", "crates.stores.example"))
		DeferCleanup(func(ctx SpecContext) { define(ctx, "crates", "Crate") })
	},
	"finalizers removed by force": func(ctx SpecContext, namespace, name string) {
		must.Succeed(admin.Kubectl(ctx, "patch", "crate", name, "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["stores.example/keep"]}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "crate", name, "-n", namespace, "--wait=false"))
		must.Succeed(admin.Kubectl(ctx, "patch", "crate", name, "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
	},
}

// crate creates a crate that owns a ConfigMap, in a namespace of its own, and
// waits until it is recorded.
func crate(ctx SpecContext, name string) (namespace, uid string) {
	GinkgoHelper()
	namespace = must.Namespace(ctx, admin, "place")
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Crate, metadata: {name: %s, namespace: %s}, spec: {size: 1}}", name, namespace))
	uid = uidOf(ctx, stored("crates"), namespace, name)
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: part, namespace: %s, ownerReferences: [{apiVersion: stores.example/v1, kind: Crate, name: %s, uid: %s}]}, data: {a: b}}", namespace, name, uid))
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Crate, metadata: {name: %s, namespace: %s}, spec: {size: 2}}", name, namespace))
	Eventually(func(g Gomega) {
		set := latestSet(ctx, "crates.stores.example", namespace, name)
		g.Expect(set.ID).NotTo(BeEmpty())
		g.Expect(membersOf(ctx, set.ID)).To(ConsistOf("configmaps "+namespace+"/part", "crates.stores.example "+namespace+"/"+name))
		root, err := store.Get(ctx, set.Root)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(root.Object.Object["spec"]).To(Equal(map[string]any{"size": int64(2)}))
	}).Should(Succeed())
	return namespace, uid
}

// expectBypass waits until a removal is noticed, and looks whether it can be undone.
func expectBypass(ctx SpecContext, uid, namespace, name string) {
	GinkgoHelper()
	var last snapshot.Record
	Eventually(func(g Gomega) {
		records, err := store.List(ctx, snapshot.Filter{UID: types.UID(uid)})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(records).NotTo(BeEmpty())
		last = records[0]
		g.Expect(last.State).To(Equal(snapshot.StateDeleted))
		g.Expect(last.Bypass).To(BeTrue())
	}).Should(Succeed())
	snap, err := store.Get(ctx, last.ID)
	Expect(err).NotTo(HaveOccurred())
	Expect(snap.Object.Object["spec"]).To(Equal(map[string]any{"size": int64(2)}))
	Expect(membersOf(ctx, latestSet(ctx, "crates.stores.example", namespace, name).ID)).To(ContainElement("configmaps " + namespace + "/part"))
	Eventually(func(g Gomega) {
		text := admin.Kubectl(ctx, "get", "events", "-A", "-o", "jsonpath={range .items[*]}{.reason} {.reportingComponent} {.message}{\"\\n\"}{end}").Stdout
		g.Expect(text).To(ContainSubstring("Bypassed holdfast crates.stores.example " + namespace + "/" + name + " was removed without Holdfast being asked. Its last state is saved; bring it back with: holdfast recovery restore " + last.ID))
	}).Should(Succeed())
	Eventually(metric).WithArguments(ctx, `holdfast_bypasses_total{resource="crates.stores.example"}`).Should(BeNumerically(">=", 1))
}

var _ = Describe("A bypass", func() {
	for way, remove := range ways {
		It("is noticed at once: "+way, func(ctx SpecContext) {
			namespace, uid := crate(ctx, "box")
			unregistered(ctx)
			remove(ctx, namespace, "box")
			expectBypass(ctx, uid, namespace, "box")
		})

		It("is noticed after a time without Holdfast: "+way, func(ctx SpecContext) {
			namespace, uid := crate(ctx, "box")
			unregistered(ctx)
			Expect(holdfast.Kill()).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				if !holdfast.Running() {
					Expect(holdfast.Start(ctx)).To(Succeed())
				}
			})
			remove(ctx, namespace, "box")
			Expect(holdfast.Start(ctx)).To(Succeed())
			expectBypass(ctx, uid, namespace, "box")
		})
	}

	It("is not what Holdfast was asked about", func(ctx SpecContext) {
		namespace, uid := crate(ctx, "asked")
		must.Succeed(admin.Kubectl(ctx, "delete", "crate", "asked", "-n", namespace))
		Eventually(func(g Gomega) {
			records, err := store.List(ctx, snapshot.Filter{UID: types.UID(uid)})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(records[0].State).To(Equal(snapshot.StateDeleted))
			g.Expect(records[0].Bypass).To(BeFalse())
		}).Should(Succeed())
	})
})
