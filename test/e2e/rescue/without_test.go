// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

var _ = Describe("An Astarte whose operator was installed without Helm", func() {
	It("comes back while somebody applies what the plan prints", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v1.0.4"), plain, "bare")
		expectRecorded(ctx, p)
		bypass(ctx)
		p.uninstall(ctx)

		plan := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "bare", "-n", house)
		Expect(plan.Code).To(Equal(4), plan.Output)
		restore := regexp.MustCompile(`saved of them are (.*); this brings these back as they were: holdfast (recovery restore .* --yes)`).FindStringSubmatch(plan.Stdout)
		Expect(restore).To(HaveLen(3), plan.Stdout)
		for _, name := range []string{astartes, voyagers, "flows.api.astarte-platform.org", "astartedefaultingresses.ingress.astarte-platform.org"} {
			Expect(restore[1]).To(ContainSubstring("the definition of " + name))
		}
		Expect(plan.Stdout).To(ContainSubstring("not saved of them: Deployment, ServiceAccount, ClusterRole, ClusterRoleBinding, Service, ValidatingWebhookConfiguration, MutatingWebhookConfiguration; take these from where it was installed from"))

		r := p.rescue(ctx, func(ctx context.Context) {
			must.Succeed(stage.Admin.Holdfast(ctx, strings.Fields(restore[2])...))
			p.apply(ctx, false)
		}, "bare")
		must.Succeed(r)
		Expect(r.Stderr).To(And(ContainSubstring("Bring the operator back now, in another terminal: apply the manifests again"), ContainSubstring(restore[2])))
		p.expectBack(ctx)
	})
})

var _ = Describe("An Astarte in a cluster without Holdfast's namespace", func() {
	It("is rescued with a journal of the user's own, taken up by the command where others were killed", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v24.5.1"), "helm4", "alone")
		bypass(ctx)
		p.uninstall(ctx)
		system, err := stage.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		j := job{
			Kubeconfig: stage.Cluster.Kubeconfig, Holdfast: "nowhere",
			Dir:     filepath.Join(stage.Cluster.Dir, "home", ".local", "state", "holdfast", "recovery", string(system.UID)),
			Name:    types.NamespacedName{Namespace: house, Name: "alone"},
			Install: []string{stage.Cluster.Tool("helm4"), "upgrade", "--install", standin.Release, p.Chart, "-n", operators},
		}
		undo := []string{"recovery", "undo", astartes, "alone", "-n", house, "--holdfast-namespace", "nowhere"}

		plan := stage.Admin.Holdfast(ctx, undo...)
		Expect(plan.Code).To(Equal(4), plan.Output)
		Expect(plan.Stdout).To(ContainSubstring("helm upgrade --install " + standin.Release))
		var seen []string
		for len(seen) == 0 || seen[len(seen)-1] != "ended create" {
			record, err := runVictim(ctx, j)
			Expect(err).NotTo(HaveOccurred(), "after %v", seen)
			Expect(record).NotTo(BeEmpty(), "it came to its end after %v", seen)
			seen = append(seen, record)
		}
		Expect(seen).To(ContainElements("ended save", "ended freeze", "ended orphan", "ended strip", "ended definition", "ended operator"))
		r := stage.Admin.Holdfast(ctx, append(undo, "--yes")...)
		must.Succeed(r)
		Expect(r.Stderr).To(MatchRegexp(`A rescue that was begun at \S+ was interrupted after step "create ` + house + `/alone"; it is taken up there.`))
		Expect(r.Stdout).To(ContainSubstring(astartes + " " + house + "/alone: brought back"))
		p.expectAstartes(ctx)
		again := stage.Admin.Holdfast(ctx, append(undo, "--yes")...)
		must.Succeed(again)
		Expect(again.Output).To(And(ContainSubstring("it is not Terminating"), Not(ContainSubstring("interrupted"))))
	})
})
