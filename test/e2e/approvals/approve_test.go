// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"fmt"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("An approval", func() {
	dryRun := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}

	It("lets one deletion pass, saved first, and says who used it", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		refusal := message(deleteTier(ctx, ns, "bob", metav1.DeleteOptions{}))
		Expect(refusal).To(ContainSubstring("holdfast approve servicetiers.cp.nuodb.com used -n " + ns + " --reason TEXT"))

		r := admin.Holdfast(ctx, append([]string{"approve", "tier", "used", "-n", ns, "--reason", "it is replaced", "--for", "20m"}, as("alice")...)...)
		must.Succeed(r)
		Expect(r.Stdout).To(And(
			ContainSubstring("Approved: delete of servicetier "+ns+"/used"),
			ContainSubstring("(20m)"), ContainSubstring("anybody who has the right to do it, once"),
			ContainSubstring("Now:       kubectl delete servicetiers.cp.nuodb.com used -n "+ns),
			ContainSubstring("Revoke:    kubectl delete deletionapproval delete-used-"),
		))
		name := strings.TrimSpace(r.Stdout[strings.LastIndex(r.Stdout, " "):])

		By("answering a dry-run as the real request, without using it up")
		Expect(deleteTier(ctx, ns, "bob", dryRun)).To(Succeed())
		Expect(read(ctx, name).Status.ConsumedAt).To(BeNil())
		explained := admin.Holdfast(ctx, "explain", "tier", "used", "-n", ns)
		Expect(explained.Stdout).To(And(ContainSubstring("ALLOWED"), ContainSubstring("alice approved it"), ContainSubstring("the same answer")))

		By("deleting")
		r = admin.Kubectl(ctx, append([]string{"delete", "tier", "used", "-n", ns}, as("bob")...)...)
		must.Succeed(r)
		Expect(r.Stderr).To(And(ContainSubstring("alice approved it"), ContainSubstring("it is replaced"), ContainSubstring("holdfast recovery restore")))
		a := read(ctx, name)
		Expect(a.Status.ConsumedBy).To(Equal("bob"))
		Expect(a.Status.ConsumedAt).NotTo(BeNil())
		Expect(a.Status.RequestUID).NotTo(BeEmpty())
		Expect(a.Spec["approvedBy"]).To(Equal("alice"))
		Expect(admin.Holdfast(ctx, "recovery", "list", "-n", ns).Stdout).To(ContainSubstring("used"))
		Expect(admin.Kubectl(ctx, "get", "deletionapprovals").Stdout).To(MatchRegexp(name + ` +delete +servicetiers.cp.nuodb.com +` + ns + ` +used +20m +\S+ +alice +bob`))
		Expect(replicas.Logs()).To(And(ContainSubstring("Deletion approved"), ContainSubstring("approved by alice: it is replaced")))

		By("not counting for the object that takes the name")
		newTier(ctx, ns)
		Expect(message(deleteTier(ctx, ns, "bob", metav1.DeleteOptions{}))).To(ContainSubstring("Approval " + name + " does not count: it is for another object of that name"))
	})

	It("is used by one of 50 users at two replicas", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		name := approve(ctx, admin, "tier", "used", "-n", ns)
		errs := make([]error, 50)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = deleteTier(ctx, ns, fmt.Sprintf("user-%d", i), metav1.DeleteOptions{}) })
		}
		all.Wait()
		passed := ""
		for i, err := range errs {
			if err == nil {
				Expect(passed).To(BeEmpty(), "two of them deleted it")
				passed = fmt.Sprintf("user-%d", i)
			}
		}
		Expect(passed).NotTo(BeEmpty(), "%v", errs)
		Expect(read(ctx, name).Status.ConsumedBy).To(Equal(passed))
		Expect(admin.Kubectl(ctx, "get", "tier", "used", "-n", ns).Code).To(Equal(1))
	})

	It("counts for its operation and time alone, and not once it is revoked", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		name := approve(ctx, admin, "tier", "used", "-n", ns, "--operation", "strip-finalizers")
		Expect(message(deleteTier(ctx, ns, "bob", dryRun))).To(ContainSubstring("Approval " + name + " does not count: it is for the operation strip-finalizers"))

		short := approve(ctx, admin, "tier", "used", "-n", ns, "--for", "1s")
		Eventually(func() string {
			if err := deleteTier(ctx, ns, "bob", dryRun); err != nil {
				return err.Error()
			}
			return ""
		}).Should(ContainSubstring("Approval " + short + " does not count: it expired at"))

		revoked := approve(ctx, admin, "tier", "used", "-n", ns)
		Expect(deleteTier(ctx, ns, "bob", dryRun)).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "delete", "deletionapproval", revoked))
		Expect(deleteTier(ctx, ns, "bob", dryRun)).NotTo(Succeed())
	})

	It("of the removal of finalizers lets what is in use go, saved, once", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "user", "-n", ns))
		must.Succeed(admin.Kubectl(ctx, "patch", "tier", "used", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}`))
		Eventually(func(g Gomega) { // the index may know the database a moment longer
			r := admin.Kubectl(ctx, "delete", "tier", "used", "-n", ns, "--wait=false")
			g.Expect(r.Code).To(BeZero(), r.Stderr)
		}).Should(Succeed())
		must.Apply(ctx, admin, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user, namespace: "+ns+"}, spec: {type: {tierRef: {name: used}}}}")
		strip := func(user, finalizers string, more ...string) harness.Result {
			return admin.Kubectl(ctx, append(append([]string{"patch", "tier", "used", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":` + finalizers + `}}`}, as(user)...), more...)...)
		}
		r := strip("bob", "null")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("holdfast approve servicetiers.cp.nuodb.com used -n " + ns + " --operation strip-finalizers --reason TEXT"))
		wrong := approve(ctx, admin, "tier", "used", "-n", ns)
		Expect(strip("bob", "null").Stderr).To(ContainSubstring("Approval " + wrong + " does not count: it is for the operation delete"))

		name := approve(ctx, admin, "tier", "used", "-n", ns, "--operation", "strip-finalizers")
		must.Succeed(strip("bob", "null", "--dry-run=server"))
		Expect(read(ctx, name).Status.ConsumedAt).To(BeNil())
		must.Succeed(strip("bob", `["example.com/more"]`))
		Expect(read(ctx, name).Status.ConsumedBy).To(Equal("bob"))
		Expect(strip("carol", "null").Stderr).To(ContainSubstring("Approval " + name + " does not count: bob used it at"))

		name = approve(ctx, admin, "tier", "used", "-n", ns, "--operation", "strip-finalizers")
		must.Succeed(strip("carol", "null"))
		Expect(read(ctx, name).Status.ConsumedBy).To(Equal("carol"))
		Expect(admin.Kubectl(ctx, "get", "tier", "used", "-n", ns).Code).To(Equal(1))
		Expect(admin.Holdfast(ctx, "recovery", "list", "-n", ns, "-o", "name").Stdout).To(ContainSubstring("servicetiers.cp.nuodb.com/" + ns + "/used/"))
	})

	It("must be used by somebody else where the profile says so", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		must.Create(ctx, admin, ns, "{apiVersion: eyes.example/v1, kind: Vault, metadata: {name: gold}}")
		must.Create(ctx, admin, ns, "{apiVersion: eyes.example/v1, kind: Key, metadata: {name: mine}, spec: {vault: gold}}")
		r := admin.Holdfast(ctx, append([]string{"approve", "vault", "gold", "-n", ns, "--reason", "sold"}, as("alice")...)...)
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("but not alice, who approved it, once"))
		r = admin.Kubectl(ctx, append([]string{"delete", "vault", "gold", "-n", ns}, as("alice")...)...)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("alice gave it, and profile eyes demands that somebody else uses it"))
		must.Succeed(admin.Kubectl(ctx, append([]string{"delete", "vault", "gold", "-n", ns}, as("bob")...)...))
	})

	It("of a namespace covers its deletion with all it holds", func(ctx SpecContext) {
		ns, other := newNamespace(ctx), newNamespace(ctx)
		must.Apply(ctx, admin, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: far, namespace: "+other+"}, spec: {type: {tierRef: {name: used, namespace: "+ns+"}}}}")
		Expect(admin.Kubectl(ctx, "delete", "namespace", ns).Code).To(Equal(1))
		// A profile that demands another user counts for every namespace.
		name := approve(ctx, admin, append([]string{"namespace", ns}, as("alice")...)...)
		for range 2 {
			must.Succeed(admin.Kubectl(ctx, "delete", "namespace", ns, "--dry-run=server"))
		}
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", ns))
		Expect(read(ctx, name).Status.ConsumedAt).To(BeNil())
		Expect(admin.Holdfast(ctx, "recovery", "list", "-n", ns, "-o", "name").Stdout).To(ContainSubstring("servicetiers.cp.nuodb.com/" + ns + "/used/"))
	})

	It("is checked by the API server itself", func(ctx SpecContext) {
		write := func(spec string) string {
			return admin.RunInput(ctx, "{apiVersion: holdfast.dev/v1alpha1, kind: DeletionApproval, metadata: {generateName: x-}, spec: "+spec+"}", "kubectl", "create", "-f", "-").Stderr
		}
		const good = `resource: a.b, name: thing, uid: u, operation: delete, reason: r, validFor: 15m, approvedBy: `
		me := strings.TrimSpace(admin.Kubectl(ctx, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").Stdout)
		Expect(write("{" + good + me + "}")).To(BeEmpty())
		for change, text := range map[string]string{
			"reason: r->reason: ''":                                              "a reason is needed",
			"reason: r->reason: '  '":                                            "a reason is needed",
			"validFor: 15m->validFor: 25h":                                       "at most 24h",
			"validFor: 15m->validFor: 24h1s":                                     "at most 24h",
			"validFor: 15m->validFor: 0s":                                        "more than 0",
			"validFor: 15m->validFor: -5m":                                       "spec.validFor",
			"validFor: 15m->validFor: soon":                                      "spec.validFor",
			"uid: u, ->":                                                         "uid is needed",
			"resource: a.b->resource: release":                                   "uid",
			"operation: delete->operation: uninstall":                            "uninstall is the operation for a release",
			"operation: delete->operation: anything":                             "Unsupported value",
			"resource: a.b, name: thing, uid: u->resource: release, name: thing": "uninstall is the operation for a release",
		} {
			from, to, _ := strings.Cut(change, "->")
			Expect(write(strings.Replace("{"+good+me+"}", from, to, 1))).To(ContainSubstring(text), change)
		}
		Expect(write("{resource: release, name: thing, namespace: x, operation: uninstall, reason: r, validFor: 1h30m, approvedBy: " + me + "}")).To(BeEmpty())
		Expect(write("{" + good + "somebody}")).To(ContainSubstring("approvedBy must be you, " + me))

		ns := newNamespace(ctx)
		name := approve(ctx, admin, "tier", "used", "-n", ns)
		r := admin.Kubectl(ctx, "patch", "deletionapproval", name, "--type=merge", "-p", `{"spec":{"validFor":"24h"}}`)
		Expect(r.Stderr).To(ContainSubstring("an approval never changes"))
		Expect(deleteTier(ctx, ns, "bob", metav1.DeleteOptions{})).To(Succeed())
		r = admin.Kubectl(ctx, "patch", "deletionapproval", name, "--type=merge", "--subresource=status", "-p", `{"status":{"consumedBy":"eve"}}`)
		Expect(r.Stderr).To(ContainSubstring("what was used stays used"))
		r = admin.Kubectl(ctx, "patch", "deletionapproval", name, "--type=merge", "--subresource=status", "-p", `{"status":null}`)
		Expect(r.Stderr).To(ContainSubstring("what was used stays used"))
	})
})

var _ = Describe("holdfast approve", func() {
	It("answers wrong input with one line and exit code 2", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		for args, text := range map[string]string{
			"tier nosuch --reason x -n " + ns:                       "there is no servicetier " + ns + "/nosuch",
			"nonsense a --reason x":                                 `the cluster has no resource "nonsense"`,
			"tier used -n " + ns:                                    "--reason is needed",
			"tier used --reason x --for 25h -n " + ns:               "--for 25h0m0s: must be from 1s to 24h",
			"tier used --reason x --for 0s -n " + ns:                "must be from 1s to 24h",
			"tier used --reason x --operation nix -n " + ns:         `--operation "nix"`,
			"tier used --reason x --operation uninstall -n " + ns:   "uninstall is the operation for a release",
			"release nosuch --reason x -n " + ns:                    "there is no Helm release nosuch in namespace " + ns,
			"release nosuch --reason x --operation delete -n " + ns: "uninstall is the operation for a release",
			"release --reason x -n " + ns:                           "name one Helm release",
			"tier --reason x -n " + ns:                              "RESOURCE NAME",
			"tier used more --reason x -n " + ns:                    "arg",
			"tier used --reason x -o xml -n " + ns:                  "xml",
		} {
			r := admin.Holdfast(ctx, append([]string{"approve"}, strings.Fields(args)...)...)
			Expect(r.Code).To(Equal(2), args+": "+r.Stderr)
			Expect(r.Stderr).To(ContainSubstring(text), args)
			Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), args+": "+r.Stderr)
		}
	})

	It("approves nothing in a dry-run, and fails plainly without rights", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		before := admin.Kubectl(ctx, "get", "deletionapprovals", "-o", "name").Stdout
		r := admin.Holdfast(ctx, "approve", "tier", "used", "-n", ns, "--reason", "x", "--dry-run")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("Would be approved: delete of servicetier " + ns + "/used"))
		Expect(admin.Kubectl(ctx, "get", "deletionapprovals", "-o", "name").Stdout).To(Equal(before))

		r = admin.Holdfast(ctx, "approve", "tier", "used", "-n", ns, "--reason", "x", "--as", "nobody")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("nobody"))
		Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), r.Stderr)
	})

	It("can be left to those who are bound to holdfast-approver", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		must.Succeed(admin.Kubectl(ctx, "create", "clusterrolebinding", "approver-"+ns, "--clusterrole=holdfast-approver", "--user=carol"))
		must.Succeed(admin.Kubectl(ctx, "create", "rolebinding", "reader", "-n", ns, "--clusterrole=cluster-admin", "--user=carol"))
		r := admin.Holdfast(ctx, "approve", "tier", "used", "-n", ns, "--reason", "x", "--as", "carol")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("Approved: delete of servicetier " + ns + "/used"))
	})
})
