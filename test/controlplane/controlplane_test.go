// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

var _ = Describe("A control plane", Ordered, func() {
	var (
		cluster *controlplane.Cluster
		client  *kubernetes.Clientset
	)

	BeforeAll(func(ctx SpecContext) {
		began := time.Now()
		var err error
		cluster, err = controlplane.Start(ctx, controlplane.Options{
			AuditLog:       true,
			APIServerFlags: []string{"--default-watch-cache-size=50"},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
		AddReportEntry("seconds to ready", time.Since(began).Seconds())
		client = clientOf(cluster.Kubeconfig)
	})

	It("collects garbage as the collector's own service account", func(ctx SpecContext) {
		maps := client.CoreV1().ConfigMaps("default")
		owner, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "owned", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}},
		}}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(maps.Delete(ctx, "owner", metav1.DeleteOptions{})).To(Succeed())

		Eventually(func() error {
			_, err := maps.Get(ctx, "owned", metav1.GetOptions{})
			return err
		}).Should(Satisfy(apierrors.IsNotFound))
		Eventually(func() ([]byte, error) { return os.ReadFile(cluster.AuditLog) }).Should(MatchRegexp(
			`"verb":"delete","user":\{"username":"system:serviceaccount:kube-system:generic-garbage-collector".*"resource":"configmaps","namespace":"default","name":"owned"`))
	})

	It("empties a deleted namespace and lets it go", func(ctx SpecContext) {
		newNamespace(ctx, client, "going")
		Expect(client.CoreV1().Namespaces().Delete(ctx, "going", metav1.DeleteOptions{})).To(Succeed())
		Eventually(func() error {
			_, err := client.CoreV1().Namespaces().Get(ctx, "going", metav1.GetOptions{})
			return err
		}).Should(Satisfy(apierrors.IsNotFound))
	})

	It("aggregates cluster roles", func(ctx SpecContext) {
		roles := client.RbacV1().ClusterRoles()
		_, err := roles.Create(ctx, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "whole"},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
				{MatchLabels: map[string]string{"part-of": "whole"}},
			}},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		rule := rbacv1.PolicyRule{APIGroups: []string{"billing.example"}, Resources: []string{"plans"}, Verbs: []string{"list"}}
		_, err = roles.Create(ctx, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "part", Labels: map[string]string{"part-of": "whole"}}, Rules: []rbacv1.PolicyRule{rule},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() ([]rbacv1.PolicyRule, error) {
			role, err := roles.Get(ctx, "whole", metav1.GetOptions{})
			return role.Rules, err
		}).Should(ConsistOf(rule))
	})

	It("gives every namespace a service account, and tokens that RBAC knows", func(ctx SpecContext) {
		newNamespace(ctx, client, "team")
		Eventually(func() error {
			_, err := client.CoreV1().ServiceAccounts("team").Get(ctx, "default", metav1.GetOptions{})
			return err
		}).Should(Succeed())

		path, err := cluster.KubeconfigFor(ctx, "team", "default")
		Expect(err).NotTo(HaveOccurred())
		account := clientOf(path)
		Expect(whoIs(ctx, account)).To(Equal("system:serviceaccount:team:default"))
		_, err = account.CoreV1().Secrets("team").List(ctx, metav1.ListOptions{})
		Expect(err).To(Satisfy(apierrors.IsForbidden))
	})

	It("names the service account that does not exist", func(ctx SpecContext) {
		_, err := cluster.KubeconfigFor(ctx, "team", "nobody")
		Expect(err).To(MatchError(ContainSubstring(`service account team/nobody: serviceaccounts "nobody" not found`)))
	})

	It("makes users with client certificates", func(ctx SpecContext) {
		path, err := cluster.KubeconfigForUser("alice", "billing")
		Expect(err).NotTo(HaveOccurred())
		review, err := clientOf(path).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(review.Status.UserInfo.Username).To(Equal("alice"))
		Expect(review.Status.UserInfo.Groups).To(ConsistOf("billing", "system:authenticated"))
	})

	It("comes with kubectl and both Helms, which accept the server", func(ctx SpecContext) {
		for _, line := range [][]string{
			{"kubectl", "version"}, {"helm3", "list", "-A"}, {"helm4", "list", "-A"},
		} {
			cmd := exec.CommandContext(ctx, cluster.Tool(line[0]), line[1:]...)
			cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig)
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
		}
	})

	It("keeps its objects and its users when the API server is killed and started again", func(ctx SpecContext) {
		newNamespace(ctx, client, "kept")
		Expect(cluster.KillAPIServer()).To(Succeed())
		_, err := client.CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{})
		Expect(err).To(MatchError(ContainSubstring("connection refused")))

		Expect(cluster.StartAPIServer()).To(Succeed())
		_, err = client.CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(cluster.RestartControllerManager()).To(Succeed())
	})

	It("listens on loopback only", func() {
		Expect(listeners(cluster.Dir)).To(And(Not(BeEmpty()), HaveEach(HavePrefix("0100007F:"))))
	})
})

var _ = Describe("Starting a control plane", func() {
	It("names the flag that a process does not know", func(ctx SpecContext) {
		_, err := controlplane.Start(ctx, controlplane.Options{APIServerFlags: []string{"--no-such-flag=1"}})
		Expect(err).To(MatchError(ContainSubstring("unknown flag: --no-such-flag")))
		_, err = controlplane.Start(ctx, controlplane.Options{ControllerManagerFlags: []string{"--no-such-flag=1"}})
		Expect(err).To(MatchError(ContainSubstring("unknown flag: --no-such-flag")))
	})

	It("leaves nothing behind when it is given up halfway", func(ctx SpecContext) {
		logs := GinkgoT().TempDir()
		start, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer GinkgoRecover()
			Eventually(filepath.Join(logs, "kube-apiserver.log")).Should(BeARegularFile())
			cancel()
		}()
		_, err := controlplane.Start(start, controlplane.Options{Logs: logs})
		Expect(err).To(MatchError(context.Canceled))
		Expect(processesMentioning(logs)).To(BeEmpty())
	})
})

func newNamespace(ctx context.Context, client kubernetes.Interface, name string) {
	GinkgoHelper()
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

func clientOf(kubeconfig string) *kubernetes.Clientset {
	GinkgoHelper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	client, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return client
}

func whoIs(ctx context.Context, client kubernetes.Interface) string {
	GinkgoHelper()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return review.Status.UserInfo.Username
}

// processesMentioning are the running processes that have the text in their
// arguments, as "PID COMMAND LINE".
func processesMentioning(text string) []string {
	GinkgoHelper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	Expect(err).NotTo(HaveOccurred())
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		if strings.Contains(string(line), text) {
			found = append(found, filepath.Base(filepath.Dir(file))+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// listeners are the local addresses, as the kernel writes them, on which
// processes that mention the text listen for TCP connections.
func listeners(text string) []string {
	GinkgoHelper()
	sockets := map[string]bool{}
	for _, process := range processesMentioning(text) {
		pid, _, _ := strings.Cut(process, " ")
		fds, err := filepath.Glob("/proc/" + pid + "/fd/*")
		Expect(err).NotTo(HaveOccurred())
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil {
				sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
			}
		}
	}
	var addresses []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if os.IsNotExist(err) {
			continue // a machine without IPv6
		}
		Expect(err).NotTo(HaveOccurred())
		for _, line := range strings.Split(string(text), "\n")[1:] {
			// Fields: number, local address, remote address, state (0A listens), …, inode.
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && sockets[f[9]] {
				addresses = append(addresses, f[1])
			}
		}
	}
	return addresses
}
