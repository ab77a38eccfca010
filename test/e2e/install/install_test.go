// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package install tests what the real Helm 3 and Helm 4 make of the chart:
// install, upgrade, roll back, uninstall.
package install

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

func TestInstall(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Install")
}

// A profile of one's own needs rights that the chart cannot know.
const partRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: part, labels: {holdfast.dev/aggregate-to-serve: "true"}}
rules: [{apiGroups: [billing.example], resources: [plans], verbs: [get, list, watch]}]
`

const usedTier = `
{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: used}, spec: {}}
---
{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used}}}}
---
{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: unused}, spec: {}}
`

var _ = Describe("The chart", func() {
	for _, helm := range []string{"helm3", "helm4"} {
		Context("with "+helm, Ordered, func() {
			var (
				cluster  *controlplane.Cluster
				holdfast *harness.Holdfast
				admin    harness.Runner
				kube     kubernetes.Interface
			)
			BeforeAll(func(ctx SpecContext) {
				var err error
				cluster, err = controlplane.Start(ctx, controlplane.Options{})
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
				kube, err = kubernetes.NewForConfig(cluster.Config)
				Expect(err).NotTo(HaveOccurred())
				holdfast, err = harness.Install(ctx, cluster, harness.Options{Helm: helm})
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(func() { Expect(holdfast.Stop()).To(Succeed()) })
				admin = holdfast.Admin()
				Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
				must.Succeed(admin.RunInput(ctx, usedTier, "kubectl", "create", "-f", "-"))
				must.Succeed(admin.RunInput(ctx, partRole, "kubectl", "create", "-f", "-"))
			})

			// profileRules are those that the control plane has gathered.
			profileRules := func(ctx context.Context) ([]rbacv1.PolicyRule, error) {
				role, err := kube.RbacV1().ClusterRoles().Get(ctx, "holdfast-profiles", metav1.GetOptions{})
				return role.Rules, err
			}
			registered := func(ctx context.Context) error {
				_, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
				return err
			}

			It("installs, and Holdfast guards", func(ctx SpecContext) {
				Expect(holdfast.Start(ctx)).To(Succeed())
				r := admin.Kubectl(ctx, "delete", "servicetier", "used")
				Expect(r.Code).To(Equal(1))
				Expect(r.Stderr).To(ContainSubstring("is in use by 1 object"))
				Eventually(profileRules).WithArguments(ctx).Should(HaveLen(1))
			})

			It("creates Pods that the strictest Pod security lets in", func(ctx SpecContext) {
				must.Succeed(admin.Kubectl(ctx, "label", "namespace", holdfast.Namespace, "pod-security.kubernetes.io/enforce=restricted"))
				must.Succeed(admin.Kubectl(ctx, "delete", "pods", "--all", "-n", holdfast.Namespace, "--force"))
				Eventually(func() (int, error) {
					pods, err := kube.CoreV1().Pods(holdfast.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=holdfast"})
					return len(pods.Items), err
				}).Should(Equal(2))
			})

			It("upgrades and rolls back, and keeps what others have gathered", func(ctx SpecContext) {
				Expect(holdfast.Upgrade(ctx, "--set", "replicas=3")).To(Succeed())
				Expect(holdfast.Upgrade(ctx, "--set", "replicas=4", "--set", "profiles=null", "--set-string", `profileFiles.a\.yaml=x`)).To(Succeed())
				Expect(profileRules(ctx)).To(HaveLen(1))
				must.Succeed(admin.Run(ctx, helm, "rollback", "holdfast", "2", "-n", holdfast.Namespace))
				Expect(profileRules(ctx)).To(HaveLen(1))
				deployment, err := kube.AppsV1().Deployments(holdfast.Namespace).Get(ctx, "holdfast", metav1.GetOptions{})
				Expect(err).NotTo(HaveOccurred())
				Expect(*deployment.Spec.Replicas).To(BeEquivalentTo(3))
			})

			It("takes the webhook configuration with it, and leaves the snapshots", func(ctx SpecContext) {
				must.Succeed(admin.Kubectl(ctx, "delete", "servicetier", "unused"))
				saved := admin.Holdfast(ctx, "recovery", "list", "-o", "name")
				Expect(saved.Stdout).To(ContainSubstring("servicetiers.cp.nuodb.com/default/unused/"))

				By("while a Holdfast still runs, which cannot register itself again")
				must.Succeed(admin.Run(ctx, helm, "uninstall", "holdfast", "-n", holdfast.Namespace))
				Eventually(registered).WithArguments(ctx).Should(Satisfy(apierrors.IsNotFound))
				Eventually(holdfast.Logs).Should(ContainSubstring("forbidden"))
				Expect(registered(ctx)).To(Satisfy(apierrors.IsNotFound))
				Expect(holdfast.Stop()).To(Succeed())

				must.Succeed(admin.Kubectl(ctx, "delete", "servicetier", "used"))
				Expect(admin.Holdfast(ctx, "recovery", "list", "-o", "name").Stdout).To(Equal(saved.Stdout))
				left := admin.Kubectl(ctx, "get", "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,deployments,poddisruptionbudgets", "-A", "-l", "app.kubernetes.io/instance=holdfast", "-o", "name")
				must.Succeed(left)
				Expect(left.Stdout).To(BeEmpty())
			})

			It("installs again beside the snapshots", func(ctx SpecContext) {
				Expect(holdfast.Apply(ctx)).To(Succeed())
				Expect(holdfast.Start(ctx)).To(Succeed())
				Expect(registered(ctx)).To(Succeed())
				Expect(admin.Holdfast(ctx, "recovery", "restore", "--yes", newest(ctx, admin)).Code).To(BeZero())
			})
		})
	}
})

// newest is the first snapshot of the list.
func newest(ctx context.Context, admin harness.Runner) string {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "list", "-o", "name")
	must.Succeed(r)
	line, _, found := strings.Cut(r.Stdout, "\n")
	Expect(found).To(BeTrue(), "there is no snapshot")
	return line
}
