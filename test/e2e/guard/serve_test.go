// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("'holdfast serve'", func() {
	It("runs as the chart's service account, with the Deployment's arguments", func(ctx SpecContext) {
		r := admin.As(holdfast.Kubeconfig).Kubectl(ctx, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		must.Succeed(r)
		Expect(r.Stdout).To(Equal("system:serviceaccount:" + holdfast.Namespace + ":holdfast"))
		Expect(holdfast.Args).To(ContainElements("serve", "--profiles=nuodb", "--namespace="+holdfast.Namespace, "--webhook-url="+holdfast.WebhookURL))
	})

	It("is granted what it uses and no more", func(ctx SpecContext) {
		account := admin.As(holdfast.Kubeconfig)
		for _, forbidden := range [][]string{
			{"delete", "secrets", "-n", "kube-system"},
			{"list", "secrets", "-n", "kube-system"},
			{"delete", "servicetiers.cp.nuodb.com", "-A"},
			{"update", "servicetiers.cp.nuodb.com", "-A"},
			{"create", "validatingwebhookconfigurations/another"},
			{"delete", "validatingwebhookconfigurations/holdfast"},
			{"create", "configmaps/another", "-n", holdfast.Namespace},
			{"get", "clusterroles/cluster-admin"},
			{"escalate", "clusterroles/holdfast"},
		} {
			r := account.Kubectl(ctx, append([]string{"auth", "can-i"}, forbidden...)...)
			Expect(strings.TrimSpace(r.Stdout)).To(Equal("no"), strings.Join(forbidden, " "))
		}
		log, err := holdfast.Logs()
		Expect(err).NotTo(HaveOccurred())
		Expect(log).To(ContainSubstring("Holdfast starts"))
	})

	It("ends when it is asked to, with exit code 0", func(ctx SpecContext) {
		Expect(holdfast.Stop()).To(Succeed())
		Expect(holdfast.Start(ctx)).To(Succeed())
	})

	It("serves metrics of its answers", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace))
		Expect(get(ctx, holdfast.MetricsURL+"/metrics")).To(MatchRegexp(`(?m)^holdfast_[a-z_]+_total\{.*verdict="allow".*\} [1-9]`))
	})
})

// Wrong input: one line that names the problem, exit code 2, nothing changed.
var _ = Describe("'holdfast serve' with wrong input", func() {
	profile := func(text string) string {
		GinkgoHelper()
		file := filepath.Join(GinkgoT().TempDir(), "profile.yaml")
		Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
		return file
	}
	const head = "apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: wrong}\nspec:\n  resources:\n"

	for what, c := range map[string]struct {
		args    []string
		profile string
		says    []string
	}{
		"an unknown flag":             {args: []string{"--profile=nuodb"}, says: []string{"unknown flag: --profile", "holdfast serve --help"}},
		"an argument too many":        {args: []string{"--profiles=nuodb", "now"}, says: []string{`"now"`}},
		"an unknown profile":          {args: []string{"--profiles=nuo"}, says: []string{`no built-in profile "nuo"`, "nuodb"}},
		"no profile":                  {says: []string{"--profiles", "--profile-file"}},
		"a profile file that is not":  {args: []string{"--profile-file=/nonexistent.yaml"}, says: []string{"/nonexistent.yaml"}},
		"a port that is none":         {args: []string{"--profiles=nuodb", "--port=99999"}, says: []string{"--port 99999"}},
		"a namespace that is none":    {args: []string{"--profiles=nuodb", "--namespace=No_Such"}, says: []string{`--namespace "No_Such"`}},
		"a URL without TLS":           {args: []string{"--profiles=nuodb", "--webhook-url=http://127.0.0.1:9443"}, says: []string{"--webhook-url", "https"}},
		"a field that does not exist": {profile: "  - {resource: plans.billing.example, refferedBy: []}\n", says: []string{"refferedBy"}},
		"a path that cannot be read":  {profile: "  - {resource: plans.billing.example, referencedBy: [{resource: subscriptions.billing.example, path: '{.spec[}'}]}\n", says: []string{"spec.resources[0].referencedBy[0].path"}},
		"an unknown mode":             {profile: "  - {resource: plans.billing.example, mode: strict}\n", says: []string{"spec.resources[0].mode", "strict"}},
		"a file that is no YAML":      {profile: "\t{", says: []string{"profile.yaml"}},
	} {
		It("is told about "+what, func(ctx SpecContext) {
			args := append([]string{"serve"}, c.args...)
			if c.profile != "" {
				args = append(args, "--profile-file="+profile(head+c.profile))
			}
			bounded, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			r := admin.As(holdfast.Kubeconfig).Holdfast(bounded, args...)
			Expect(r.Code).To(Equal(2), r.Stderr)
			Expect(r.Stdout).To(BeEmpty())
			Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), r.Stderr)
			for _, said := range c.says {
				Expect(r.Stderr).To(ContainSubstring(said))
			}
		})
	}
})

var _ = Describe("'holdfast serve' without a cluster", func() {
	for what, kubeconfig := range map[string]string{
		"a file that is not there":   "/nonexistent/kubeconfig",
		"a server that is not there": "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]}",
	} {
		It("ends with exit code 1 because of "+what, func(ctx SpecContext) {
			if strings.HasPrefix(kubeconfig, "{") {
				file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
				Expect(os.WriteFile(file, []byte(kubeconfig), 0o600)).To(Succeed())
				kubeconfig = file
			}
			bounded, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			r := admin.Holdfast(bounded, "serve", "--profiles=nuodb", "--kubeconfig="+kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0")
			Expect(r.Code).To(Equal(1), r.Stderr)
			Expect(r.Stdout).To(BeEmpty())
			lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
			Expect(lines[len(lines)-1]).To(HavePrefix("holdfast: "))
			Expect(r.Stderr).NotTo(ContainSubstring("goroutine"))
		})
	}
})
