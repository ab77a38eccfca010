// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package explain tests on a real API server that 'holdfast explain' tells
// what a delete would be answered, and what it says when the two differ.
package explain

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

const ns = "nuodb-cp-system"

var (
	cluster  *controlplane.Cluster
	holdfast *harness.Holdfast
	admin    harness.Runner
)

func TestExplain(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	RunSpecs(t, "Explain")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, admin = stage.Cluster, stage.Admin
	holdfast, err = stage.Install(ctx, harness.Options{Profiles: []string{"nuodb"}})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDB(ctx, admin)).To(Succeed())
	Expect(holdfast.Start(ctx)).To(Succeed())
})

// explanation is what the contract says about -o json.
type explanation struct {
	Guarded       bool
	Profile       string
	Terminating   bool
	Rules, DryRun struct{ Verdict, Message string }
	Agree         bool
	Referrers     []struct{ Kind, Namespace, Name, Path, Revision string }
	Finalizers    *struct {
		Rules, DryRun struct{ Verdict, Message string }
		Agree         bool
	}
}

func explain(ctx SpecContext, args ...string) explanation {
	GinkgoHelper()
	r := admin.Holdfast(ctx, append([]string{"explain", "-o", "json"}, args...)...)
	Expect(r.Code).To(BeZero(), r.Stderr)
	Expect(r.Stderr).To(BeEmpty())
	var e explanation
	Expect(json.Unmarshal([]byte(r.Stdout), &e)).To(Succeed())
	return e
}

var _ = Describe("explain", Ordered, func() {
	It("names everything that uses a tier, as the webhook would", func(ctx SpecContext) {
		e := explain(ctx, "tier", "n0.small", "-n", ns)
		Expect(e.Guarded).To(BeTrue())
		Expect(e.Profile).To(Equal("nuodb"))
		Expect(e.Rules.Verdict).To(Equal("deny"))
		Expect(e.DryRun.Verdict).To(Equal("deny"))
		Expect(e.DryRun.Message).To(HaveSuffix(e.Rules.Message))
		Expect(e.Agree).To(BeTrue())
		var users []string
		for _, r := range e.Referrers {
			users = append(users, r.Kind+" "+r.Namespace+"/"+r.Name+" "+r.Path)
		}
		Expect(users).To(Equal([]string{
			"Database nuodb-cp-system/acme-messaging-demo {.spec.type.tierRef}",
			"Domain nuodb-cp-system/acme-messaging {.spec.type.tierRef}",
		}))
	})
	It("shows a pinned revision and the chain down to the databases", func(ctx SpecContext) {
		e := explain(ctx, "servicetiers.cp.nuodb.com/n1.small", "-n", ns)
		Expect(e.Referrers).To(HaveLen(1))
		Expect(e.Referrers[0].Revision).To(Equal("2"))
		r := admin.Holdfast(ctx, "explain", "feature", "small-resources", "-n", ns)
		Expect(r.Code).To(BeZero())
		Expect(r.Stdout).To(And(
			ContainSubstring("A delete would be REFUSED."),
			ContainSubstring("servicetier nuodb-cp-system/n1.small (in use by database tenant-b/pinned)"),
			ContainSubstring("gives a dry-run delete the same answer"),
		))
	})
	It("says that what nobody uses would be saved and let go, and deletes nothing", func(ctx SpecContext) {
		r := admin.Holdfast(ctx, "explain", "servicetier", "n2.unused", "-n", ns)
		Expect(r.Code).To(BeZero())
		Expect(r.Stdout).To(And(ContainSubstring("ALLOWED"), ContainSubstring("saved first"), ContainSubstring("same answer")))
		Expect(admin.Kubectl(ctx, "get", "servicetier", "n2.unused", "-n", ns).Code).To(BeZero())
		Expect(admin.Holdfast(ctx, "recovery", "list", "-o", "name").Stdout).To(BeEmpty())
	})
	It("says that an object is not guarded", func(ctx SpecContext) {
		e := explain(ctx, "domain", "acme-messaging", "-n", ns)
		Expect(e.Guarded).To(BeFalse())
		Expect(e.Rules.Verdict).To(Equal("allow"))
		Expect(e.Agree).To(BeTrue())
	})
	It("answers wrong input with one line and exit code 2", func(ctx SpecContext) {
		for args, text := range map[string]string{
			"explain tier nosuch -n " + ns:         "there is no servicetier " + ns + "/nosuch",
			"explain release nosuch -n " + ns:      "there is no Helm release nosuch in namespace " + ns,
			"explain release":                      "name one Helm release",
			"explain nonsense n0.small":            `the cluster has no resource "nonsense"`,
			"explain tier":                         "RESOURCE NAME",
			"explain":                              "arg",
			"explain tier a b -n " + ns:            "arg",
			"explain tier n0.small -o xml":         "xml",
			"explain tier n0.small --profiles nix": `"nix"`,
		} {
			r := admin.Holdfast(ctx, strings.Fields(args)...)
			Expect(r.Code).To(Equal(2), args+": "+r.Stderr)
			Expect(r.Stderr).To(ContainSubstring(text), args)
			Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), args+": "+r.Stderr)
			Expect(r.Stdout).To(BeEmpty(), args)
		}
	})
	It("fails plainly without a cluster and without rights", func(ctx SpecContext) {
		r := admin.Holdfast(ctx, "explain", "tier", "n0.small", "--server", "https://127.0.0.1:1")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(And(ContainSubstring("127.0.0.1:1"), ContainSubstring("refused")))
		Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), r.Stderr)

		r = admin.Holdfast(ctx, "explain", "tier", "n0.small", "-n", ns, "--as", "nobody")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("nobody"))
		Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), r.Stderr)
	})
	It("warns when the webhook is not asked", func(ctx SpecContext) {
		Expect(holdfast.Stop()).To(Succeed())
		e := explain(ctx, "tier", "n0.small", "-n", ns)
		Expect(e.Rules.Verdict).To(Equal("deny"))
		Expect(e.DryRun.Verdict).To(Equal("undecided"), "the webhook is registered and does not answer")
		Expect(e.Agree).To(BeFalse())

		Expect(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast").Code).To(BeZero())
		e = explain(ctx, "tier", "n0.small", "-n", ns)
		Expect(e.Rules.Verdict).To(Equal("deny"))
		Expect(e.DryRun.Verdict).To(Equal("allow"))
		r := admin.Holdfast(ctx, "explain", "tier", "n0.small", "-n", ns)
		Expect(r.Stdout).To(ContainSubstring("WARNING: the API server would ALLOW it all the same"))
	})
	It("points at undo for what is Terminating", func(ctx SpecContext) {
		Expect(admin.Kubectl(ctx, "delete", "servicetier", "n0.small", "-n", ns, "--wait=false").Code).To(BeZero())
		r := admin.Holdfast(ctx, "explain", "tier", "n0.small", "-n", ns)
		Expect(r.Stdout).To(ContainSubstring("holdfast recovery undo servicetiers.cp.nuodb.com n0.small -n " + ns))
		Expect(r.Stdout).To(And(
			ContainSubstring("The removal of its finalizers would be REFUSED."),
			ContainSubstring("WARNING: the API server would ALLOW it all the same"),
		))
	})
	It("says what the removal of its finalizers would be answered", func(ctx SpecContext) {
		Expect(holdfast.Start(ctx)).To(Succeed())
		var e explanation
		Eventually(func(g Gomega) {
			e = explain(ctx, "tier", "n0.small", "-n", ns)
			g.Expect(e.Finalizers.Agree).To(BeTrue())
		}).Should(Succeed())
		Expect(e.Finalizers.Rules.Verdict).To(Equal("deny"))
		Expect(e.Finalizers.Rules.Message).To(ContainSubstring("is in use by 2 objects"))
		Expect(e.Finalizers.DryRun.Message).To(HaveSuffix(e.Finalizers.Rules.Message))
		Expect(explain(ctx, "tier", "n1.small", "-n", ns).Finalizers).To(BeNil())
		Expect(admin.Kubectl(ctx, "get", "tier", "n0.small", "-n", ns).Code).To(BeZero(), "nothing was removed")
	})
})
