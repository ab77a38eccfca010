// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// hook is an object that Helm makes before it deletes anything else.
const hook = `apiVersion: v1
kind: ConfigMap
metadata: {name: last-words, annotations: {helm.sh/hook: pre-delete}}
`

// explained waits until explain says all of texts about a release.
func explained(ctx context.Context, namespace, name string, texts ...string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		r := admin.Holdfast(ctx, "explain", "release", name, "-n", namespace)
		g.Expect(r.Code).To(BeZero(), r.Stderr)
		for _, text := range texts {
			g.Expect(r.Stdout).To(ContainSubstring(text))
		}
	}).Should(Succeed())
}

var _ = Describe("helm uninstall of an operator in use", func() {
	for _, helm := range []string{"helm3", "helm4"} {
		for what, c := range map[string]struct {
			version, namespace, name string
			more                     []string
		}{
			"whose definitions it would delete":        {version: "v23.5.2", namespace: operators, name: "astarte"},
			"whose definitions it would keep":          {version: "v24.5.1", namespace: operators, name: "astarte"},
			"elsewhere, called otherwise, with a hook": {version: "v23.5.2", namespace: "platform", name: "my-operator", more: []string{hook}},
		} {
			It(fmt.Sprintf("changes nothing, says why, and runs through when it is approved: %s, %s", helm, what), func(ctx SpecContext) {
				must.Succeed(admin.Run(ctx, helm, "install", c.name, chart(ctx, c.version, c.more...), "-n", c.namespace, "--create-namespace"))
				DeferCleanup(cleared, helm, c.namespace, c.name)
				put(ctx, "Astarte")
				closed(ctx, c.namespace, c.name)
				for _, down := range []bool{false, true} {
					if down {
						By("also while Holdfast is down")
						Expect(holdfast.Kill()).To(Succeed())
					}
					before := settled(ctx)
					r := admin.Run(ctx, helm, "uninstall", c.name, "-n", c.namespace)
					Expect(r.Code).To(Equal(1))
					Expect(r.Stderr).To(And(
						ContainSubstring("holdfast has fenced Helm release "+c.namespace+"/"+c.name),
						ContainSubstring("1 of astartes.api.astarte-platform.org in house"),
						ContainSubstring("holdfast approve release "+c.name+" -n "+c.namespace),
					))
					after := everything(ctx)
					delete(before, "configmaps./"+c.namespace+"/last-words") // a hook runs all the same
					delete(after, "configmaps./"+c.namespace+"/last-words")
					Expect(changes(before, after)).To(BeEmpty())
					Expect(admin.Run(ctx, helm, "list", "--deployed", "-q", "-n", c.namespace).Stdout).To(Equal(c.name + "\n"))
					Expect(admin.Kubectl(ctx, "delete", "deployment", c.name, "-n", c.namespace).Stderr).To(ContainSubstring("Forbidden"))
					Expect(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", c.name+"-validating").Stderr).To(ContainSubstring("Forbidden"))
				}
				Expect(holdfast.Start(ctx)).To(Succeed())
				explained(ctx, c.namespace, c.name, "An uninstall would be REFUSED", "1 of astartes.api.astarte-platform.org in house", "the same answer")

				By("approving it, for as long as the approval lasts")
				must.Succeed(admin.Holdfast(ctx, "approve", "release", c.name, "-n", c.namespace, "--reason", "too soon", "--for", "2s"))
				Eventually(func() string { return fenced(ctx, c.namespace, c.name) }).ShouldNot(BeEmpty())
				r := admin.Holdfast(ctx, "approve", "release", c.name, "-n", c.namespace, "--reason", "the wrong one", "-o", "name")
				must.Succeed(r)
				Eventually(func() string { return fenced(ctx, c.namespace, c.name) }).Should(BeEmpty())
				must.Succeed(admin.Kubectl(ctx, "delete", strings.TrimSpace(r.Stdout)))
				Eventually(func() string { return fenced(ctx, c.namespace, c.name) }).ShouldNot(BeEmpty())
				must.Succeed(admin.Holdfast(ctx, "approve", "release", c.name, "-n", c.namespace, "--reason", "the platform moves"))
				Eventually(func() string { return fenced(ctx, c.namespace, c.name) }).Should(BeEmpty())
				explained(ctx, c.namespace, c.name, "An uninstall would be ALLOWED", "opens the fence", "the same answer")
				Eventually(func(g Gomega) {
					r := admin.Run(ctx, helm, "uninstall", c.name, "-n", c.namespace)
					g.Expect(r.Code).To(BeZero(), r.Stderr)
				}).Should(Succeed())
				Expect(admin.Run(ctx, helm, "status", c.name, "-n", c.namespace).Stderr).To(ContainSubstring("not found"))
				Expect(admin.Kubectl(ctx, "get", "deployments,services,serviceaccounts", "-n", c.namespace, "-l", "app="+c.name, "-o", "name").Stdout).To(BeEmpty())
			})
		}

		It("works when the last instance is gone: "+helm, func(ctx SpecContext) {
			must.Succeed(admin.Run(ctx, helm, "install", "astarte", chart(ctx, "v23.5.2"), "-n", operators))
			DeferCleanup(cleared, helm, operators, "astarte")
			put(ctx, "Astarte")
			closed(ctx, operators, "astarte")
			must.Succeed(admin.Kubectl(ctx, "delete", "astarte", "one", "-n", "house"))
			Eventually(func() string { return fenced(ctx, operators, "astarte") }).Should(BeEmpty())
			explained(ctx, operators, "astarte", "Not fenced", "An uninstall would be ALLOWED", "the same answer")
			Eventually(func() int { return admin.Run(ctx, helm, "uninstall", "astarte", "-n", operators).Code }).Should(BeZero())
			r := admin.Kubectl(ctx, "get", "deployments,services,secrets", "-n", operators, "-o", "name")
			must.Succeed(r)
			Expect(r.Stdout).To(BeEmpty())
		})
	}

	It("keeps the chart of NuoDB's definitions while a tier exists", func(ctx SpecContext) {
		path, err := harness.Testdata(ctx, "nuodb", "crds.yaml")
		Expect(err).NotTo(HaveOccurred())
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		dir := GinkgoT().TempDir()
		Expect(os.Mkdir(filepath.Join(dir, "templates"), 0o700)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: nuodb-cp-crd\nversion: 2.0.0\n"), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "templates", "crds.yaml"), text, 0o600)).To(Succeed())
		must.Succeed(admin.Run(ctx, "helm4", "install", "nuodb-cp-crd", dir, "-n", operators))
		tiers := "servicetiers.cp.nuodb.com"
		DeferCleanup(func(ctx SpecContext) {
			Eventually(func(g Gomega) {
				admin.Kubectl(ctx, "delete", tiers, "--all", "-n", "house")
				r := admin.Run(ctx, "helm4", "uninstall", "nuodb-cp-crd", "-n", operators, "--ignore-not-found")
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}).WithPolling(time.Second).Should(Succeed())
		})
		create(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t, namespace: house}, spec: {}}")
		closed(ctx, operators, "nuodb-cp-crd")
		r := admin.Run(ctx, "helm4", "uninstall", "nuodb-cp-crd", "-n", operators)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("holdfast has fenced Helm release operators/nuodb-cp-crd, because instances of its definitions exist: 1 of " + tiers + " in house"))
		must.Succeed(admin.Kubectl(ctx, "get", tiers, "t", "-n", "house"))

		By("a pause, which makes it warn, and its end")
		remove := func() harness.Result { return admin.Kubectl(ctx, "delete", "crd", tiers, "--dry-run=server") }
		DeferCleanup(func(ctx SpecContext) { admin.Holdfast(ctx, "resume") }) // it may have ended
		must.Succeed(admin.Holdfast(ctx, "pause", "--for", "10m", "--reason", "a spec"))
		Eventually(remove).Should(And(HaveField("Code", 0), HaveField("Stderr", ContainSubstring("holdfast has fenced Helm release operators/nuodb-cp-crd"))))
		must.Succeed(admin.Holdfast(ctx, "resume"))
		Eventually(remove).Should(And(HaveField("Code", 1), HaveField("Stderr", ContainSubstring("holdfast has fenced Helm release operators/nuodb-cp-crd"))))
	})
})
