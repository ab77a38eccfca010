// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// expectRefused makes sure that a restore of the whole set is refused for this reason.
func (s *shelf) expectRefused(ctx context.Context, reason string, args ...string) {
	GinkgoHelper()
	before := s.uids(ctx, s.namespace)
	r := s.restore(ctx, args...)
	Expect(r.Code).To(Equal(1), r.Output)
	Expect(r.Stderr).To(And(ContainSubstring("nothing was changed: "), ContainSubstring(reason)))
	Expect(s.uids(ctx, s.namespace)).To(Equal(before))
}

// meanwhile restores the set, and does something between its plan and its run.
func (s *shelf) meanwhile(ctx context.Context, do func(), args ...string) harness.Result {
	GinkgoHelper()
	gate, err := harness.NewGate(cluster)
	Expect(err).NotTo(HaveOccurred())
	defer gate.Close()
	var once sync.Once
	return gate.Holdfast(ctx, admin, func(harness.Write) harness.Verdict {
		defer GinkgoRecover()
		once.Do(do) // the first write of all is the journal's, after the plan
		return harness.Pass
	}, s.args(append(args, "--yes")...)...)
}

// newKeys is what a plan warns of that leaves keys out.
const newKeys = "warning: new keys would be made: "

var _ = Describe("A restore of a set with flags", func() {
	It("brings back what --only and --except leave, in several goes", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		must.Succeed(s.restore(ctx, "--only", "secrets", "--except", "secrets/key-b"))
		first := s.uids(ctx, s.namespace)
		Expect(first).To(And(HaveLen(1), HaveKey("key-a")))
		must.Succeed(s.restore(ctx, "--except", "configmaps/settings"))
		second := s.uids(ctx, s.namespace)
		Expect(second).To(And(HaveLen(4), HaveKeyWithValue("key-a", first["key-a"]), Not(HaveKey("settings"))))
		must.Succeed(s.restore(ctx))
		for name, uid := range second {
			Expect(s.uids(ctx, s.namespace)).To(HaveKeyWithValue(name, uid))
		}
		s.expectBack(ctx, s.namespace)
		r := s.restore(ctx, "--except", "secret")
		Expect(r.Code).To(Equal(2), r.Output)
		Expect(r.Stderr).To(ContainSubstring(`"secret" selects nothing of what is saved there`))
	})

	It("keeps what was left of it when its owner is left out for now", func(ctx SpecContext) {
		s := fill(ctx)
		r := s.restore(ctx, "--only", "secrets")
		must.Succeed(r)
		Expect(r.Stdout).NotTo(ContainSubstring("taken off"), "its owner is there")
		Expect(must.Object(ctx, client, core("secrets"), s.namespace, "key-a").GetOwnerReferences()).To(HaveLen(1))

		s.orphan(ctx)
		left := s.uids(ctx, s.namespace)
		r = s.restore(ctx, "--only", "secrets")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("secrets %s/key-a: skipped: it is there as it was saved; the reference to its owner, which is gone, is taken off first", s.namespace))
		By("the kind comes back, and with it the garbage collector")
		s.define(ctx)
		Expect(cluster.RestartControllerManager()).To(Succeed())
		Eventually(must.Object).WithArguments(ctx, client, core("configmaps"), s.namespace, "owned").Should(BeNil(), "which was not freed")
		for _, key := range []string{"key-a", "key-b"} {
			Expect(s.uids(ctx, s.namespace)).To(HaveKeyWithValue(key, left[key]))
		}
		must.Succeed(s.restore(ctx))
		s.expectBack(ctx, s.namespace)
	})

	It("is what the owner is refused without, as long as its keys are not there", func(ctx SpecContext) {
		s := fill(ctx)
		name := s.shelves.GroupResource().String()
		ids := func(resource string) string {
			r := admin.Holdfast(ctx, "recovery", "list", resource, "-n", s.namespace, "-o", "name")
			must.Succeed(r)
			lines := strings.Fields(r.Stdout)
			return lines[0][strings.LastIndex(lines[0], "/")+1:]
		}
		owner := ids(name)
		s.burn(ctx)
		s.define(ctx)
		alone := []string{"recovery", "restore", owner, "--profile-file", s.profile, "--yes"}
		r := admin.Holdfast(ctx, alone...)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stdout).To(ContainSubstring("failed: secrets %[1]s/key-a, secrets %[1]s/key-b are not there, so its operator would make new ones when it is back", s.namespace))
		Expect(r.Stdout).To(ContainSubstring("holdfast recovery restore --set %s (if new ones are meant, add: --only %s/one)", s.set, name))
		Expect(s.uids(ctx, s.namespace)).To(BeEmpty())

		By("with one of two")
		must.Succeed(s.restore(ctx, "--only", "secrets/key-b"))
		r = admin.Holdfast(ctx, alone...)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stdout).To(ContainSubstring("failed: secrets %s/key-a is not there", s.namespace))

		By("with the other named beside it")
		key := admin.Holdfast(ctx, "recovery", "list", "secrets", "key-a", "-n", s.namespace, "-o", "name")
		must.Succeed(key)
		must.Succeed(admin.Holdfast(ctx, append(alone, strings.TrimSpace(key.Stdout)[strings.LastIndex(strings.TrimSpace(key.Stdout), "/")+1:])...))
		Expect(s.uids(ctx, s.namespace)).To(And(HaveLen(3), HaveKey("one"), HaveKey("key-a"), HaveKey("key-b")))
		must.Succeed(s.restore(ctx))
		s.expectBack(ctx, s.namespace)

		By("if new ones are meant")
		s.burn(ctx)
		s.define(ctx)
		must.Succeed(s.restore(ctx, "--only", name+"/one"))
		Expect(s.uids(ctx, s.namespace)).To(And(HaveLen(1), HaveKey("one")))
	})

	It("warns of keys that would be made anew because they are left out", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		plan := func(args ...string) string {
			r := admin.Holdfast(ctx, s.args(args...)...)
			Expect(r.Code).To(Equal(4), r.Output)
			return r.Stdout
		}
		Expect(plan("--except", "secrets")).To(ContainSubstring("  "+newKeys+"secrets %[1]s/key-a, secrets %[1]s/key-b are left out and not there, so the operator of shelves.%[2]s %[1]s/one would make new ones when that is back; "+
			"whatever holds a certificate or password by the old ones, such as every device, would be refused from then on; bring them back first to keep the old ones\n", s.namespace, s.group))
		Expect(plan("--only", "shelves", "--only", "secrets/key-a", "--only", "customresourcedefinitions")).To(ContainSubstring(newKeys + "secrets " + s.namespace + "/key-b is left out"))
		Expect(plan("--except", "configmaps")).NotTo(ContainSubstring(newKeys), "no keys are left out")
		Expect(plan("--only", "configmaps/settings")).NotTo(ContainSubstring(newKeys), "nobody comes back who would make them")
		must.Succeed(s.restore(ctx, "--only", "secrets"))
		Expect(plan("--except", "secrets")).NotTo(ContainSubstring(newKeys), "they are there")
	})

	It("moves to --to-namespace with the references in it, and can be run again", func(ctx SpecContext) {
		s := fill(ctx)
		before := s.uids(ctx, s.namespace)
		to := must.Namespace(ctx, admin, "place")
		r := s.restore(ctx, "--to-namespace", to)
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("shelves.%s: skipped: it is not in a namespace, so it cannot come back in another", s.group))
		s.expectBack(ctx, to)
		Expect(s.uids(ctx, s.namespace)).To(Equal(before), "what was there was touched")
		copies := must.Object(ctx, client, s.shelves, to, "one").Object["spec"].(map[string]any)["copies"]
		Expect(copies).To(Equal([]any{map[string]any{"name": "settings", "namespace": to}, map[string]any{"name": "settings", "namespace": "elsewhere"}}))
		after := s.uids(ctx, to)
		must.Succeed(s.restore(ctx, "--to-namespace", to))
		Expect(s.uids(ctx, to)).To(Equal(after))
	})

	It("does with what is in the way as --existing says", func(ctx SpecContext) {
		s := fill(ctx)
		s.empty(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "shelves."+s.group, "one", "-n", s.namespace))
		must.Succeed(admin.RunInput(ctx, levels(s.namespace, "settings", "level: two, more: stays"), "kubectl", "create", "-f", "-"))
		theirs := must.Object(ctx, client, core("configmaps"), s.namespace, "settings").GetUID()
		s.expectRefused(ctx, "an object of its name exists already, created at ")
		s.expectRefused(ctx, "others have set the same fields differently: .data.level", "--existing", "merge")

		r := s.restore(ctx, "--existing", "skip")
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("skipped: an object of its name exists already, and differs"))
		all := s.uids(ctx, s.namespace)
		Expect(all).To(And(HaveLen(5), HaveKeyWithValue("settings", theirs)))
		Expect(held(ctx, s.namespace, "settings")).To(Equal(map[string]any{"level": "two", "more": "stays"}))

		must.Succeed(s.restore(ctx, "--existing", "replace"))
		s.expectBack(ctx, s.namespace)
		Expect(s.uids(ctx, s.namespace)).To(Equal(all), "replaced in place")

		other(ctx, s.namespace, "settings", "level: one, more: stays")
		must.Succeed(s.restore(ctx, "--existing", "merge"))
		Expect(held(ctx, s.namespace, "settings")).To(Equal(map[string]any{"level": "one", "more": "stays"}))
	})

	It("is refused as a whole while something in its way is Terminating", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		must.Apply(ctx, admin, strings.Replace(levels(s.namespace, "settings", "level: two"), "metadata: {", "metadata: {finalizers: [example.com/held], ", 1))
		must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "settings", "-n", s.namespace, "--wait=false"))
		for _, existing := range []string{"fail", "skip", "merge", "replace"} {
			s.expectRefused(ctx, "another object of its name is Terminating; wait until that is gone", "--existing", existing)
		}
		must.Succeed(admin.Kubectl(ctx, "patch", "configmap", "settings", "-n", s.namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
		must.Succeed(s.restore(ctx))
		s.expectBack(ctx, s.namespace)
	})

	It("does not touch what came or was swapped after its plan", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		create := func(data string) func() {
			return func() {
				admin.Kubectl(ctx, "delete", "configmap", "settings", "-n", s.namespace, "--ignore-not-found")
				must.Succeed(admin.RunInput(ctx, levels(s.namespace, "settings", data), "kubectl", "create", "-f", "-"))
			}
		}
		By("somebody creates it")
		r := s.meanwhile(ctx, create("level: two"))
		Expect(r.Code).To(Equal(3), r.Output)
		Expect(r.Stdout).To(ContainSubstring("configmaps %s/settings: failed: somebody else has created an object of its name meanwhile", s.namespace))
		Expect(s.uids(ctx, s.namespace)).To(HaveLen(5))
		By("somebody puts another in its place")
		r = s.meanwhile(ctx, create("level: three"), "--existing", "replace")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stdout).To(ContainSubstring("failed: replace it: somebody has put another object in its place since the plan was made; run the command again"))
		Expect(held(ctx, s.namespace, "settings")).To(Equal(map[string]any{"level": "three"}))
		By("somebody deletes it")
		must.Succeed(admin.Kubectl(ctx, "patch", "configmap", "settings", "-n", s.namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/held"]}}`))
		r = s.meanwhile(ctx, func() {
			must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "settings", "-n", s.namespace, "--wait=false"))
		}, "--existing", "replace")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stdout).To(ContainSubstring("failed: replace it: somebody has deleted it since the plan was made: it is Terminating; run the command again"))
		Expect(held(ctx, s.namespace, "settings")).To(Equal(map[string]any{"level": "three"}))
		must.Succeed(admin.Kubectl(ctx, "patch", "configmap", "settings", "-n", s.namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`))
		must.Succeed(s.restore(ctx))
		s.expectBack(ctx, s.namespace)
	})

	It("does not create the owner when somebody takes the name of a key meanwhile", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		r := s.meanwhile(ctx, func() {
			must.Succeed(admin.Kubectl(ctx, "create", "secret", "generic", "key-a", "-n", s.namespace, "--from-literal", "key=new"))
		})
		Expect(r.Code).To(Equal(3), r.Output)
		Expect(r.Stdout).To(ContainSubstring("shelves.%[1]s %[2]s/one: failed: secrets %[2]s/key-a is not there, and shelves.%[1]s %[2]s/one must not come back without it", s.group, s.namespace))
		Expect(must.Object(ctx, client, s.shelves, s.namespace, "one")).To(BeNil())
		must.Succeed(s.restore(ctx, "--existing", "replace"))
		s.expectBack(ctx, s.namespace)
	})
})

var _ = Describe("The snapshots of a definition and of an instance of it", func() {
	It("given together come back in their order", func(ctx SpecContext) {
		s := fill(ctx)
		set, err := store.Set(ctx, s.set)
		Expect(err).NotTo(HaveOccurred())
		var instance, definition string
		for _, m := range set.Members {
			switch {
			case strings.HasPrefix(m.Resource, "shelves."):
				instance = m.Snapshot
			case strings.HasPrefix(m.Resource, "customresourcedefinitions."):
				definition = m.Snapshot
			}
		}
		s.burn(ctx)
		r := restoreIDs(ctx, instance)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Output).To(ContainSubstring(fmt.Sprintf("the cluster has no resource shelves.%s (its CustomResourceDefinition is missing); install that first", s.group)))
		must.Succeed(restoreIDs(ctx, instance, definition))
		Expect(must.Object(ctx, client, s.shelves, s.namespace, "one").Object["spec"]).To(HaveKeyWithValue("settings", "settings"))
	})
})
