// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

// bypass takes Holdfast away with all that it has registered.
func bypass(ctx context.Context, holdfast *harness.Holdfast, house string) {
	GinkgoHelper()
	Expect(holdfast.Stop()).To(Succeed())
	for _, kind := range []string{"validatingwebhookconfigurations", "validatingadmissionpolicybindings", "validatingadmissionpolicies"} {
		for name := range strings.Lines(admin.Kubectl(ctx, "get", kind, "-o", "name").Stdout) {
			if name = strings.TrimSpace(name); strings.Contains(name, "/holdfast") {
				must.Succeed(admin.Kubectl(ctx, "delete", name))
			}
		}
	}
	// Admission learns of it by watches, of webhooks and of policies apart.
	for _, what := range []string{"crd/" + astartes, "namespace/" + house} {
		Eventually(func() string {
			return admin.Kubectl(ctx, "delete", what, "--dry-run=server", "--ignore-not-found").Stderr
		}).Should(BeEmpty())
	}
}

var _ = Describe("An Astarte that is gone while Holdfast is up and enforces", func() {
	It("comes back from the set that Holdfast has saved by itself, and is guarded again", func(ctx SpecContext) {
		h := settle(ctx, "v24.5.1", "helm4")
		holdfast, err := harness.Install(ctx, cluster, harness.Options{
			Profiles: []string{"astarte"},
			Values:   map[string]any{"continuousBackup": true, "secretNamespaces": []string{h.house, h.Namespace}},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { bypass(ctx, holdfast, h.house) })
		Expect(holdfast.Start(ctx)).To(Succeed())
		DeferCleanup(func() {
			if CurrentSpecReport().Failed() {
				log, err := holdfast.Logs()
				AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
			}
		})
		guarded := func(g Gomega) {
			r := admin.Kubectl(ctx, "delete", "namespace", h.house, "--dry-run=server")
			g.Expect(r.Stderr).To(ContainSubstring(`admission webhook "namespace.holdfast.dev" denied the request`))
			r = admin.Kubectl(ctx, "delete", "deployment", standin.Release, "-n", h.Namespace, "--dry-run=server")
			g.Expect(r.Stderr).To(ContainSubstring("holdfast has fenced Helm release %s/%s", h.Namespace, standin.Release))
		}
		Eventually(guarded).Should(Succeed())
		taken := h.set
		must.Succeed(admin.Kubectl(ctx, "annotate", astartes, "one", "-n", h.house, "example.com/seen=by-holdfast"))
		Eventually(func() string { h.set = setBesides(ctx, h.house, taken); return h.set }).ShouldNot(BeEmpty())

		bypass(ctx, holdfast, h.house)
		h.lose(ctx)
		Expect(holdfast.Start(ctx)).To(Succeed())
		Eventually(func() string {
			return admin.Kubectl(ctx, "get", "validatingwebhookconfiguration", "holdfast", "-o", "name").Stdout
		}).ShouldNot(BeEmpty())
		must.Succeed(h.restore(ctx))
		h.expectBack(ctx)
		Expect(must.Object(ctx, client, h.Shape.Astartes(), h.house, "one").GetAnnotations()).To(HaveKeyWithValue("example.com/seen", "by-holdfast"))
		Expect(holdfast.Running()).To(BeTrue())
		Eventually(guarded).Should(Succeed())
	})
})

// setBesides is a complete set of the Astarte in house that is another than old
// and has what it was told last; empty if there is none yet.
func setBesides(ctx context.Context, house, old string) string {
	GinkgoHelper()
	sets, err := store.Sets(ctx, snapshot.Filter{Resource: schema.ParseGroupResource(astartes), Namespace: house, Name: "one"})
	Expect(err).NotTo(HaveOccurred())
	for i := range sets {
		if sets[i].ID == old || !sets[i].Complete || sets[i].Root == "" {
			continue
		}
		root, err := store.Get(ctx, sets[i].Root)
		Expect(err).NotTo(HaveOccurred())
		if root.Object.GetAnnotations()["example.com/seen"] != "" {
			return sets[i].ID
		}
	}
	return ""
}
