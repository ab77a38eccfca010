// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("Controllers that delete", func() {
	It("keep a used tier whose owner is gone, and take it when it is free", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, "{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}")
		owner, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, "owner", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		create(ctx, namespace, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: owned, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: %s}]}, spec: {}}", owner.UID))
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: owned}}}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "owner", "-n", namespace))

		By("refusing the garbage collector")
		Eventually(holdfast.Logs).Should(MatchRegexp(`"msg":"Deletion refused".*"namespace":"%s".*"user":"system:serviceaccount:kube-system:generic-garbage-collector"`, namespace))
		expectUntouched(ctx, harness.Tiers(), namespace, "owned")

		By("which tries again")
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "user", "-n", namespace))
		Eventually(must.Object).WithArguments(ctx, client, harness.Tiers(), namespace, "owned").WithTimeout(time.Minute).Should(BeNil())
		Expect(savedNames(ctx, namespace)).To(ConsistOf("owned"))
	})

	It("empty a deleted namespace, used tiers and all, which are saved first", func(ctx SpecContext) {
		namespace, other := must.Namespace(ctx, admin, "team"), must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", namespace, "--wait=false"))
		// Used from now on: before, the namespace would have been kept. Its
		// controller takes a few seconds until it looks at what is in it.
		create(ctx, other, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used, namespace: "+namespace+"}}}}")
		Eventually(func() error {
			_, err := kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
			return err
		}).WithTimeout(time.Minute).Should(Satisfy(apierrors.IsNotFound))
		Expect(savedNames(ctx, namespace)).To(ConsistOf("used"))
	})
})
