// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"encoding/json"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("A stranger", func() {
	It("is told in one line what is wrong with the names and flags, and nothing is changed", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t", map[string]any{"name": "f"})
		newFeature(ctx, space, "f")
		taken := admin.Holdfast(ctx, "recovery", "snapshot", "tier", "t", "-n", space, "-o", "json")
		must.Succeed(taken)
		var saved struct {
			Items []struct{ Snapshot, Set struct{ ID string } }
		}
		Expect(json.Unmarshal([]byte(taken.Stdout), &saved)).To(Succeed())
		id, set := saved.Items[0].Snapshot.ID, saved.Items[0].Set.ID
		Expect(set).NotTo(BeEmpty())
		before := dump(ctx, space)
		const nothing = "aaaaaaaaaaaaaaaa"
		cases := []struct{ args, want string }{
			{"list --sets nosuch", `the cluster has no resource "nosuch"; 'kubectl api-resources' lists those it has; nor is anything saved under that name (short names are known only of saved definitions): there are snapshots of `},
			{"list --sets tier nosuch -n " + space, `there is no set of tier "nosuch" in namespace ` + space + `; 'holdfast recovery list --sets' shows those there are`},
			{"list --sets a b c", "accepts at most 2 arg(s), received 3"},
			{"list --sets -o xml", `unknown output format "xml"`},
			{"list tier t -n strangers", `there is no snapshot of tier "t" in namespace strangers; 'holdfast recovery list' shows those there are`},
			{"show tier t", `"tier" is not the ID of a snapshot; 'holdfast recovery list tier t' shows those of that object`},
			{"show " + id + " " + id + " " + id, "accepts 1 arg(s), received 3"},
			{"show " + set, set + " is the ID of a set, not of a snapshot: 'holdfast recovery restore --set " + set + "' brings it back"},
			{"diff", "accepts between 1 and 2 arg(s), received 0; see 'holdfast recovery diff --help'"},
			{"diff " + id + " " + id + " " + id, "accepts between 1 and 2 arg(s), received 3"},
			{"diff tier t", `"tier" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
			{"diff " + nothing, `no such snapshot: "` + nothing + `"; 'holdfast recovery list' shows those there are`},
			{"diff " + id + " " + nothing, `no such snapshot: "` + nothing + `"`},
			{"diff " + set, set + " is the ID of a set, not of a snapshot"},
			{"diff -o json " + id, "unknown shorthand flag: 'o' in -o; see 'holdfast recovery diff --help'"},
			{"pin", "requires at least 1 arg(s), only received 0"},
			{"pin tier t", `"tier" is not the ID of a snapshot`},
			{"pin " + nothing, `no such snapshot: "` + nothing + `"`},
			{"pin " + set, set + " is the ID of a set, not of a snapshot"},
			{"unpin " + nothing, `no such snapshot: "` + nothing + `"`},
			{"snapshot tier", `name the objects of resource "tier": RESOURCE NAME..., or RESOURCE/NAME`},
			{"snapshot tier nosuch -n " + space, "there is no servicetiers.cp.nuodb.com " + space + "/nosuch; 'kubectl get servicetiers -A' lists those that exist"},
			{"snapshot nosuch t -n " + space, `the cluster has no resource "nosuch"; 'kubectl api-resources' lists those it has`},
			{"snapshot tier t -o wide -n " + space, `unknown output format "wide"`},
			{"restore --yes tier t", `"tier" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
			{"restore --yes " + set, set + " is the ID of a set, not of a snapshot: 'holdfast recovery restore --set " + set + "' brings it back"},
			{"restore --yes --set nosuch", `"nosuch" is not the ID of a set; 'holdfast recovery list --sets' shows them`},
			{"restore --yes --set " + nothing, "'holdfast recovery list --sets' shows those there are"},
			{"restore --yes --set " + id, id + " is the ID of a snapshot, not of a set: 'holdfast recovery restore " + id + "' brings it back"},
			{"restore --yes --set " + set + " " + id, "name IDs or a set, not both"},
			{"restore --yes --existing nosuch " + id, `"nosuch"`},
			{"restore --yes --only nosuch " + id, `"nosuch" selects nothing of what is saved there; resources are named as 'holdfast recovery list' does`},
			{"restore --yes --set " + set + " --except nosuch", `"nosuch" selects nothing of what is saved there`},
			{"restore --yes release", "name one Helm release: release NAME, or release/NAME"},
			{"restore --yes release a b", "name one Helm release: release NAME, or release/NAME"},
			{"restore --yes release nosuch -n " + space, "'helm list -a -A' shows what Helm knows"},
			{"restore --yes release a --existing skip", "--existing, --to-namespace, --only and --except are for objects, not for a Helm release"},
			{"scan extra", `unknown command "extra" for "holdfast recovery scan"; see 'holdfast recovery scan --help'`},
			{"scan -o wide", `unknown output format "wide"; -o takes one of table, json, yaml, name`},
			{"scan --profiles nosuch", `--profiles: no built-in profile "nosuch"`},
			{"scan --profile-file /nosuch", "--profile-file: read profile: open /nosuch: no such file or directory"},
			{"undo --yes astartes nosuch -n " + space, "it does not exist, and no rescue of it was interrupted"},
			{"undo --yes astartes", `name the objects of resource "astartes": RESOURCE NAME..., or RESOURCE/NAME`},
		}
		for _, tc := range cases {
			By("holdfast recovery " + tc.args)
			expectOneLine(admin.Holdfast(ctx, append([]string{"recovery"}, strings.Fields(tc.args)...)...), 2, tc.want)
		}
		Expect(dump(ctx, space)).To(Equal(before))
	})

	It("is told where nothing was found", func(ctx SpecContext) {
		for _, flag := range []string{"--sets=false", "--sets"} {
			r := admin.Holdfast(ctx, "recovery", "list", flag, "--holdfast-namespace", "nowhere")
			must.Succeed(r)
			Expect(r.Stderr).To(HaveSuffix("found in namespace nowhere, which does not exist; if Holdfast's is another, name it with --holdfast-namespace.\n"))
			r = admin.Holdfast(ctx, "recovery", "list", flag, "-n", "strangers")
			must.Succeed(r)
			Expect(r.Stderr).To(HaveSuffix("found of objects in namespace strangers, in namespace " + holdfastNamespace + ".\n"))
		}
	})

	It("without a cluster, or rights in it, is told so by every command", func(ctx SpecContext) {
		space := newNamespace(ctx)
		id := save(ctx, newTier(ctx, space, "t"))
		file, err := cluster.KubeconfigForUser("stranger-" + space)
		Expect(err).NotTo(HaveOccurred())
		broken := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		for args, failed := range map[string]int{
			"list --sets":                         1,
			"list nosuch":                         1,
			"diff " + id:                          2, // 1 says that they differ
			"pin " + id:                           1,
			"snapshot tier t -n " + space:         1,
			"restore --yes --set " + id:           1,
			"restore --yes release a":             1,
			"scan":                                1,
			"undo --yes astartes one -n " + space: 1,
			"undo --yes tier t -n " + space:       1,
		} {
			By("holdfast recovery " + args)
			words := append([]string{"recovery"}, strings.Fields(args)...)
			expectOneLine(admin.Holdfast(ctx, append(words, "--server", "https://127.0.0.1:1")...), failed, "reach the cluster at https://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; check that it is up, and --kubeconfig and --context")
			expectOneLine(admin.As(broken).Holdfast(ctx, words...), failed, "")
			expectOneLine(admin.As(file).Holdfast(ctx, words...), failed, "; ask for this right, or use a --context that has it")
		}
	})
})
