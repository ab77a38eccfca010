// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// levels is a ConfigMap with these keys and values.
func levels(namespace, name, data string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s}, data: {%s}}", name, namespace, data)
}

// other makes a ConfigMap that is gone anew, with another content.
func other(ctx context.Context, namespace, name, data string) {
	GinkgoHelper()
	must.Succeed(admin.Kubectl(ctx, "delete", "configmap", name, "-n", namespace))
	must.Succeed(admin.RunInput(ctx, levels(namespace, name, data), "kubectl", "create", "-f", "-"))
}

func held(ctx context.Context, namespace, name string) any {
	GinkgoHelper()
	o := must.Object(ctx, client, core("configmaps"), namespace, name)
	if o == nil {
		return nil
	}
	return o.Object["data"]
}

func restoreIDs(ctx context.Context, args ...string) harness.Result {
	return admin.Holdfast(ctx, append([]string{"recovery", "restore", "--yes"}, args...)...)
}

var _ = Describe("What is in the way of a restore", func() {
	It("becomes what --existing says", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		must.Apply(ctx, admin, levels(namespace, "a", "level: one, lost: yes-it-is"))
		id := save(ctx, core("configmaps"), namespace, "a")
		made := map[string]any{"level": "two", "more": "stays"}
		other(ctx, namespace, "a", "level: two, more: stays")

		r := restoreIDs(ctx, id)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Output).To(ContainSubstring("an object of its name exists already, created at "))
		r = restoreIDs(ctx, id, "--existing", "skip")
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("skipped: an object of its name exists already, and differs"))
		r = restoreIDs(ctx, id, "--existing", "merge")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Output).To(MatchRegexp(`others have set the same fields differently: \.data\.level \(.*kubectl-create.*\); --existing replace takes them over`))
		r = restoreIDs(ctx, id, "--existing", "replace", "--dry-run")
		must.Succeed(r)
		Expect(r.Stdout).To(And(ContainSubstring("- .data.level: \"two\""), ContainSubstring("+ .data.level: \"one\""), ContainSubstring("- .data.more: \"stays\"")))
		Expect(held(ctx, namespace, "a")).To(Equal(made), "nothing of it changed anything")

		before := must.Object(ctx, client, core("configmaps"), namespace, "a").GetUID()
		must.Succeed(restoreIDs(ctx, id, "--existing", "replace"))
		Expect(held(ctx, namespace, "a")).To(Equal(map[string]any{"level": "one", "lost": "yes-it-is"}))
		Expect(must.Object(ctx, client, core("configmaps"), namespace, "a").GetUID()).To(Equal(before))

		other(ctx, namespace, "a", "level: one, more: stays")
		must.Succeed(restoreIDs(ctx, id, "--existing", "merge"))
		Expect(held(ctx, namespace, "a")).To(Equal(map[string]any{"level": "one", "lost": "yes-it-is", "more": "stays"}))
	})
})

var _ = Describe("A restore", func() {
	It("brings back what --only and --except leave", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		var ids []string
		for _, name := range []string{"a", "ab", "b"} {
			must.Apply(ctx, admin, levels(namespace, name, "level: one"))
			ids = append(ids, save(ctx, core("configmaps"), namespace, name))
			must.Succeed(admin.Kubectl(ctx, "delete", "configmap", name, "-n", namespace))
		}
		must.Succeed(restoreIDs(ctx, append(ids, "--only", "configmaps/a*", "--except", "configmaps/ab")...))
		Expect(held(ctx, namespace, "a")).NotTo(BeNil())
		Expect(held(ctx, namespace, "ab")).To(BeNil())
		Expect(held(ctx, namespace, "b")).To(BeNil())
	})

	It("moves to --to-namespace, and leaves the place where it was alone", func(ctx SpecContext) {
		from, to := must.Namespace(ctx, admin, "place"), must.Namespace(ctx, admin, "place")
		must.Apply(ctx, admin, levels(from, "a", "level: one"))
		id := save(ctx, core("configmaps"), from, "a")
		must.Succeed(restoreIDs(ctx, id, "--to-namespace", to))
		Expect(held(ctx, to, "a")).To(Equal(map[string]any{"level": "one"}))
		r := restoreIDs(ctx, id, "--to-namespace", "no-such-place")
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Output).To(ContainSubstring("its namespace does not exist; create that first: kubectl create namespace no-such-place"))
	})

	It("drops the marks of a Helm release that is not there, and keeps those of one that is", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		marked := fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: %[1]s, labels: {app.kubernetes.io/managed-by: Helm},
			annotations: {meta.helm.sh/release-name: gone, meta.helm.sh/release-namespace: %[1]s}}}`, namespace)
		must.Apply(ctx, admin, marked)
		id := save(ctx, core("configmaps"), namespace, "a")
		must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "a", "-n", namespace))
		r := restoreIDs(ctx, id)
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("the marks of Helm release %s/gone are dropped: there is no such release", namespace))
		back := must.Object(ctx, client, core("configmaps"), namespace, "a")
		Expect(back.GetAnnotations()).NotTo(HaveKey("meta.helm.sh/release-name"))
		Expect(back.GetLabels()).NotTo(HaveKey("app.kubernetes.io/managed-by"))

		must.Succeed(admin.Kubectl(ctx, "delete", "configmap", "a", "-n", namespace))
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: v1, kind: Secret, type: helm.sh/release.v1, metadata: {name: sh.helm.release.v1.gone.v1, namespace: %s, labels: {owner: helm, name: gone, version: '1', status: deployed}}}", namespace))
		must.Succeed(restoreIDs(ctx, id))
		Expect(must.Object(ctx, client, core("configmaps"), namespace, "a").GetAnnotations()).To(HaveKeyWithValue("meta.helm.sh/release-name", "gone"))
	})

	It("of a version that is not served any more uses one that the API server would convert to", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		both := crd("unserved.example", "bales", "Bale", "", "v2", "v1")
		must.Apply(ctx, admin, both)
		DeferCleanup(func(ctx SpecContext) { admin.Kubectl(ctx, "delete", "crd", "bales.unserved.example", "--wait=false") })
		bales := definitions()
		bales.Group, bales.Version, bales.Resource = "unserved.example", "v1", "bales"
		Eventually(func() error {
			_, err := client.Resource(bales).Namespace(namespace).List(ctx, metav1.ListOptions{})
			return err
		}).Should(Succeed())
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: unserved.example/v1, kind: Bale, metadata: {name: a, namespace: %s}, spec: {level: one}}", namespace))
		id := save(ctx, bales, namespace, "a")
		must.Succeed(admin.Kubectl(ctx, "delete", "bales.unserved.example", "a", "-n", namespace))
		must.Apply(ctx, admin, strings.Replace(both, "{name: v1, served: true", "{name: v1, served: false", 1))
		Eventually(func() error {
			_, err := client.Resource(bales).Namespace(namespace).List(ctx, metav1.ListOptions{})
			return err
		}).ShouldNot(Succeed())
		r := restoreIDs(ctx, id)
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("it was saved as unserved.example/v1, which is not served any more, and comes back as unserved.example/v2"))
		bales.Version = "v2"
		Expect(must.Object(ctx, client, bales, namespace, "a").Object["spec"]).To(Equal(map[string]any{"level": "one"}))

		must.Succeed(admin.Kubectl(ctx, "delete", "bales.unserved.example", "a", "-n", namespace))
		must.Apply(ctx, admin, crd("unserved.example", "bales", "Bale", "", "v2"))
		r = restoreIDs(ctx, id)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Output).To(ContainSubstring("the cluster serves bales.unserved.example no longer in version v1, only in v2"))
	})

	It("says in one line what is wrong with its flags", func(ctx SpecContext) {
		for _, c := range [][2]string{
			{"--existing keep aaaaaaaaaaaaaaaa", `"keep" is none of fail, skip, merge and replace`},
			{"--to-namespace My_Place aaaaaaaaaaaaaaaa", `"My_Place" is not the name of a namespace`},
			{"--only /a aaaaaaaaaaaaaaaa", `"/a" is not RESOURCE, RESOURCE.GROUP or one of these with /NAME`},
			{"--except a/b/c aaaaaaaaaaaaaaaa", `"a/b/c" is not RESOURCE, RESOURCE.GROUP or one of these with /NAME`},
			{"--set aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb", "name IDs or a set, not both"},
			{"--set nosuch", `"nosuch" is not the ID of a set`},
			{"--set aaaaaaaaaaaaaaaa", `"aaaaaaaaaaaaaaaa"`},
			{"release a --existing replace", "are for objects, not for a Helm release"},
		} {
			args, want := c[0], c[1]
			r := restoreIDs(ctx, strings.Fields(args)...)
			Expect(r.Code).To(Equal(2), "%s: %s", args, r.Output)
			Expect(strings.Count(strings.TrimSpace(r.Stderr), "\n")).To(BeZero(), r.Stderr)
			Expect(r.Stderr).To(ContainSubstring(want))
		}
		namespace := must.Namespace(ctx, admin, "place")
		must.Apply(ctx, admin, levels(namespace, "a", "level: one"))
		id := save(ctx, core("configmaps"), namespace, "a")
		r := restoreIDs(ctx, id, "--except", "configmap")
		Expect(r.Code).To(Equal(2), r.Output)
		Expect(r.Stderr).To(ContainSubstring(`"configmap" selects nothing of what is saved there`))
	})
})
