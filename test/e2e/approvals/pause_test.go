// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// entries are the failure policies of what is registered, by name.
func entries(ctx context.Context) map[string]string {
	GinkgoHelper()
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	all := map[string]string{}
	for _, w := range config.Webhooks {
		all[w.Name] = string(*w.FailurePolicy)
	}
	return all
}

func failing(ctx context.Context) bool {
	return entries(ctx)["guard.holdfast.dev"] == "Fail"
}

func metrics(ctx context.Context, h *harness.Holdfast) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.MetricsURL+"/metrics", nil)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// down kills all replicas for the rest of the spec.
func down(ctx context.Context) {
	GinkgoHelper()
	DeferCleanup(func(ctx SpecContext) { Expect(replicas.Start(ctx)).To(Succeed()) })
	for _, h := range replicas.Each {
		Expect(h.Kill()).To(Succeed())
	}
	Expect(ctx.Err()).NotTo(HaveOccurred())
}

var _ = Describe("A pause", Serial, func() {
	pause := func(ctx SpecContext, length string) harness.Result {
		GinkgoHelper()
		DeferCleanup(func(ctx SpecContext) {
			admin.Holdfast(ctx, "resume") // it may have ended
			Eventually(failing).WithArguments(ctx).Should(BeTrue())
		})
		r := admin.Holdfast(ctx, "pause", "--for", length, "--reason", "moving the storage")
		must.Succeed(r)
		return r
	}

	It("warns where it would refuse, saves, and ends with resume", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		before := entries(ctx)
		Expect(pause(ctx, "30m").Stdout).To(And(ContainSubstring("Holdfast is paused until "), ContainSubstring("holdfast resume")))
		for name, policy := range entries(ctx) {
			Expect(policy).To(Equal("Ignore"), name)
		}
		r := admin.Kubectl(ctx, "delete", "tier", "used", "-n", ns)
		must.Succeed(r)
		Expect(r.Stderr).To(And(ContainSubstring("would be refused, but Holdfast is paused until"), ContainSubstring("is in use by"), ContainSubstring("holdfast recovery restore")))
		Expect(admin.Holdfast(ctx, "recovery", "list", "-n", ns, "-o", "name").Stdout).To(ContainSubstring("servicetiers.cp.nuodb.com/" + ns + "/used/"))
		newTier(ctx, ns)
		Expect(admin.Holdfast(ctx, "explain", "tier", "used", "-n", ns).Stdout).To(And(ContainSubstring("PAUSED until"), ContainSubstring("ALLOWED"), ContainSubstring("the same answer")))
		for _, h := range replicas.Each {
			Eventually(metrics).WithArguments(ctx, h).Should(ContainSubstring("\nholdfast_paused 1\n"))
		}
		Expect(replicas.Logs()).To(And(ContainSubstring("Holdfast is paused and refuses nothing"), ContainSubstring("moving the storage")))

		r = admin.Holdfast(ctx, "resume")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("it refuses again"))
		Expect(message(deleteTier(ctx, ns, "bob", metav1.DeleteOptions{}))).To(ContainSubstring("is in use by"))
		Eventually(entries).WithArguments(ctx).Should(Equal(before))
		Eventually(metrics).WithArguments(ctx, replicas.Each[0]).Should(ContainSubstring("\nholdfast_paused 0\n"))
		Expect(admin.Holdfast(ctx, "resume").Stdout).To(Equal("Holdfast is not paused.\n"))
	})

	It("ends by itself", func(ctx SpecContext) {
		before := entries(ctx)
		pause(ctx, "3s")
		Eventually(entries).WithArguments(ctx).Should(Equal(before))
		// The entries come first, so that it refuses again in any case.
		Eventually(func() (map[string]string, error) {
			config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
			return config.Annotations, err
		}).Should(BeEmpty())
	})

	It("is not taken from an annotation that is too far ahead or no time", func(ctx SpecContext) {
		for _, until := range []string{time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339), "soon"} {
			_ = admin.Kubectl(ctx, "annotate", "validatingwebhookconfiguration", "holdfast", "--overwrite", "holdfast.dev/paused-until="+until)
			Eventually(func() string {
				return admin.Kubectl(ctx, "get", "validatingwebhookconfiguration", "holdfast", "-o", "jsonpath={.metadata.annotations}").Stdout
			}).Should(BeEmpty(), until)
			Expect(failing(ctx)).To(BeTrue())
		}
	})

	It("works while Holdfast is down, and so does its end", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		before := entries(ctx)
		down(ctx)
		r := admin.Kubectl(ctx, "delete", "tier", "used", "-n", ns)
		Expect(r.Stderr).To(ContainSubstring("failed calling webhook"))
		pause(ctx, "30m")
		// The API server takes a moment to learn what is registered.
		Eventually(func() int { return admin.Kubectl(ctx, "delete", "tier", "used", "-n", ns, "--ignore-not-found").Code }).Should(BeZero())
		must.Succeed(admin.Holdfast(ctx, "resume"))
		Expect(entries(ctx)).To(Equal(before))
	})

	It("demands a time and a reason", func(ctx SpecContext) {
		for args, text := range map[string]string{
			"pause --reason x":                "--for 0s: must be given, from 1s to 24h",
			"pause --for 25h --reason x":      "from 1s to 24h",
			"pause --for 30m":                 "--reason is needed",
			"pause --for 30m --reason x more": "unknown",
			"resume now":                      "unknown",
		} {
			r := admin.Holdfast(ctx, strings.Fields(args)...)
			Expect(r.Code).To(Equal(2), args+": "+r.Stderr)
			Expect(r.Stderr).To(ContainSubstring(text), args)
		}
		r := admin.Holdfast(ctx, "pause", "--for", "1m", "--reason", "x", "--as", "nobody")
		Expect(r.Code).To(Equal(1))
		Expect(failing(ctx)).To(BeTrue())
	})
})

var _ = Describe("Audit mode", func() {
	It("counts, logs and annotates, and nobody notices", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		must.Create(ctx, admin, ns, "{apiVersion: audited.example/v1, kind: Draft, metadata: {name: one}}")
		must.Create(ctx, admin, ns, "{apiVersion: audited.example/v1, kind: Note, metadata: {name: a}, spec: {draft: one}}")
		r := admin.Kubectl(ctx, "delete", "draft", "one", "-n", ns)
		must.Succeed(r)
		Expect(r.Stderr).To(BeEmpty())
		Eventually(func() string { return metrics(ctx, replicas.Each[0]) + metrics(ctx, replicas.Each[1]) }).
			Should(MatchRegexp(`holdfast_admission_answers_total\{dry_run="false",.*rule="in-use",verdict="audit"\} 1`))
		Expect(replicas.Logs()).To(ContainSubstring("draft " + ns + "/one is in use by 1 object"))
		Eventually(func() (string, error) {
			text, err := os.ReadFile(cluster.AuditLog)
			return string(text), err
		}).Should(ContainSubstring(`"guard.holdfast.dev/verdict":"audit"`))
	})
})

// The runbook's last chapter, as it is printed, with Holdfast dead.
var _ = Describe("The way out when everything is dead", Serial, func() {
	It("lets everything go, and back", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		root, err := harness.Root(ctx)
		Expect(err).NotTo(HaveOccurred())
		text, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", "getting-out.md"))
		Expect(err).NotTo(HaveOccurred())
		_, chapter, found := strings.Cut(string(text), "## Everything is dead")
		Expect(found).To(BeTrue())
		// There are no nodes, so Holdfast's Deployment is a name to be scaled.
		must.Succeed(admin.Kubectl(ctx, "create", "deployment", "holdfast", "--image=holdfast", "--replicas=0", "-n", replicas.Each[0].Namespace))
		DeferCleanup(func(ctx SpecContext) {
			must.Succeed(admin.Kubectl(ctx, "delete", "deployment", "holdfast", "-n", replicas.Each[0].Namespace))
		})
		down(ctx)

		commands := 0
		for i, block := range strings.Split(chapter, "```") {
			if i%2 == 0 {
				continue
			}
			for _, line := range strings.Split(strings.TrimPrefix(block, "sh\n"), "\n") {
				words := strings.Fields(line)
				if len(words) == 0 {
					continue
				}
				Expect(words[0]).To(Equal("kubectl"), line)
				must.Succeed(admin.Kubectl(ctx, words[1:]...))
				commands++
			}
		}
		Expect(commands).To(Equal(5))
		Eventually(func() int { return admin.Kubectl(ctx, "delete", "tier", "used", "-n", ns, "--ignore-not-found").Code }).Should(BeZero())
		Expect(admin.Kubectl(ctx, "get", "validatingadmissionpolicybinding", "-o", "name").Stdout).NotTo(ContainSubstring("holdfast-fence"))

		By("registering everything anew when it comes back")
		Expect(replicas.Start(ctx)).To(Succeed())
		Expect(failing(ctx)).To(BeTrue())
	})
})
