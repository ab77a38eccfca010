// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// expectOneLine fails unless the command ended with this code and said one
// line on its error stream, which begins and goes on as told.
func expectOneLine(r harness.Result, code int, want string) {
	GinkgoHelper()
	Expect(r.Code).To(Equal(code), "%s%s", r.Stdout, r.Stderr)
	Expect(strings.Count(r.Stderr, "\n")).To(Equal(1), r.Stderr)
	Expect(r.Stderr).To(HavePrefix("holdfast: "))
	Expect(r.Stderr).To(ContainSubstring(want))
	Expect(r.Stderr).NotTo(ContainSubstring("goroutine"))
	Expect(r.Stdout).To(BeEmpty())
}

var _ = Describe("Wrong input", func() {
	It("to any command is one line that says what to do, exit code 2, and changes nothing", func(ctx SpecContext) {
		space := newNamespace(ctx)
		id := save(ctx, newTier(ctx, space, "t"))
		deleteByMistake(ctx, "servicetier", space, "t")
		before := dump(ctx, space)
		line := "servicetiers.cp.nuodb.com/" + space + "/t/" + id
		cases := []struct {
			args string
			want string
		}{
			{"nosuch", `see 'holdfast recovery --help'`},
			{"list --nosuch", "unknown flag: --nosuch; see 'holdfast recovery list --help'"},
			{"list -o xml", `unknown output format "xml"; -o takes one of table, wide, json, yaml, name`},
			{"list nosuch", `the cluster has no resource "nosuch"; 'kubectl api-resources' lists those it has`},
			{"list tier nosuch", `there is no snapshot of tier "nosuch"; 'holdfast recovery list' shows those there are`},
			{"list a b c", "accepts at most 2 arg(s), received 3; see 'holdfast recovery list --help'"},
			{"list tier/x y", `"tier/x y" is not RESOURCE [NAME]`},
			{"list --context nosuch", "context was not found for specified context: nosuch; check --kubeconfig and --context"},
			{"show", "accepts 1 arg(s), received 0; see 'holdfast recovery show --help'"},
			{"show nosuch", `"nosuch" is not the ID of a snapshot; 'holdfast recovery list' shows them`},
			{"show aaaaaaaaaaaaaaaa", `no such snapshot: "aaaaaaaaaaaaaaaa"; 'holdfast recovery list' shows those there are`},
			{"show -o table " + id, `unknown output format "table"`},
			{"show servicetiers.cp.nuodb.com/other/t/" + id, "snapshot " + id + " is " + line + ", not servicetiers.cp.nuodb.com/other/t/" + id},
			{"restore", "name what to bring back: IDs, --set SET or release NAME"},
			{"restore --yes nosuch", `"nosuch" is not the ID of a snapshot`},
			{"restore --yes aaaaaaaaaaaaaaaa", `no such snapshot: "aaaaaaaaaaaaaaaa"`},
			{"restore --yes " + id + " aaaaaaaaaaaaaaaa", `no such snapshot: "aaaaaaaaaaaaaaaa"`},
			{"restore --yes other.example/t/" + id, "snapshot " + id + " is " + line + ", not other.example/t/" + id},
			{"restore --yes -o wide " + id, `unknown output format "wide"`},
			{"restore --yes --profiles nosuch " + id, `--profiles: no built-in profile "nosuch"`},
			{"restore --yes --profile-file /nosuch " + id, "--profile-file: read profile: open /nosuch: no such file or directory"},
			{"undo --yes", "requires at least 1 arg(s), only received 0"},
			{"undo --yes tier", `name the objects of resource "tier": RESOURCE NAME..., or RESOURCE/NAME`},
			{"undo --yes nosuch t -n " + space, `the cluster has no resource "nosuch"`},
			{"undo --yes tier/t x -n " + space, `"x" is not RESOURCE/NAME`},
			{"undo --yes tier t feature/x -n " + space, `"feature/x" is not a name`},
			{"undo --yes tier nosuch -n " + space, "no such object: servicetiers.cp.nuodb.com " + space + "/nosuch, nor a snapshot of it; check the name and the namespace (-n)"},
			{"undo --yes tier t nosuch -n " + space, "no such object: servicetiers.cp.nuodb.com " + space + "/nosuch"},
			{"undo --yes tier t -n nosuch", "no such object: servicetiers.cp.nuodb.com nosuch/t"},
			{"undo --yes=maybe tier t -n " + space, `invalid argument "maybe" for "--yes" flag`},
		}
		for _, tc := range cases {
			By("holdfast recovery " + tc.args)
			expectOneLine(admin.Holdfast(ctx, append([]string{"recovery"}, strings.Fields(tc.args)...)...), 2, tc.want)
		}
		Expect(dump(ctx, space)).To(Equal(before))
	})

	It("that names an object that is gone says how it comes back", func(ctx SpecContext) {
		space := newNamespace(ctx)
		id := save(ctx, newTier(ctx, space, "t"))
		destroy(ctx, space, "t")
		expectOneLine(admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes"), 2, "is gone; 'holdfast recovery restore "+id+"' brings it back as it was last saved")
	})

	It("that asks for two versions of one object is refused", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		first := save(ctx, tier)
		tier.SetLabels(map[string]string{"another": "version"})
		second := save(ctx, tier)
		destroy(ctx, space, "t")
		expectOneLine(admin.Holdfast(ctx, "recovery", "restore", first, second, "--yes"), 2, "two snapshots of one object: ")
	})

	It("takes the names of a resource that kubectl takes", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		for _, name := range []string{"tier", "servicetier", "servicetiers", "ServiceTier", "servicetiers.cp.nuodb.com", "servicetiers.v1beta1.cp.nuodb.com", "ServiceTier.v1beta1.cp.nuodb.com"} {
			for _, args := range [][]string{{name, "t"}, {name + "/t"}} {
				r := admin.Holdfast(ctx, append([]string{"recovery", "undo", "-n", space}, args...)...)
				must.Succeed(r)
				Expect(r.Stdout).To(HaveSuffix("skipped: it is not Terminating\n"), name)
			}
		}
	})
})

// commands are one of each, with good input.
func commands(id, space string) map[string][]string {
	return map[string][]string{
		"list":    {"recovery", "list"},
		"show":    {"recovery", "show", id},
		"restore": {"recovery", "restore", id, "--yes"},
		"undo":    {"recovery", "undo", "tier", "t", "-n", space, "--yes"},
	}
}

var _ = Describe("Without a cluster", func() {
	It("every command ends in one line and exit code 1", func(ctx SpecContext) {
		stranger := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		Expect(clientcmd.WriteToFile(clientcmdapi.Config{
			Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: cluster.Config.Host, CertificateAuthorityData: cluster.Config.CAData}},
			AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: "wrong"}},
			Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
			CurrentContext: "c",
		}, stranger)).To(Succeed())
		for name, args := range commands("aaaaaaaaaaaaaaaa", "space") {
			By(name)
			expectOneLine(admin.Holdfast(ctx, append(args, "--server", "https://127.0.0.1:1")...), 1,
				"reach the cluster at https://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; check that it is up, and --kubeconfig and --context")
			expectOneLine(admin.Holdfast(ctx, append(args, "--kubeconfig", "/nosuch")...), 1,
				"read kubeconfig: stat /nosuch: no such file or directory; check --kubeconfig and --context")
			expectOneLine(admin.As(stranger).Holdfast(ctx, args...), 1, "the cluster at "+cluster.Config.Host+" does not accept these credentials; check --kubeconfig, --context and --token")
		}
	})
})

var _ = Describe("Without rights", func() {
	It("every command ends in one line and exit code 1, and changes nothing", func(ctx SpecContext) {
		space := newNamespace(ctx)
		id := save(ctx, newTier(ctx, space, "t"))
		deleteByMistake(ctx, "servicetier", space, "t")
		before := dump(ctx, space)
		file, err := cluster.KubeconfigForUser("nobody-" + space)
		Expect(err).NotTo(HaveOccurred())
		nobody := admin.As(file)
		for name, args := range commands(id, space) {
			By(name)
			expectOneLine(nobody.Holdfast(ctx, args...), 1, "; ask for this right, or use a --context that has it")
		}
		Expect(dump(ctx, space)).To(Equal(before))
	})

	// A user who may do with tiers what he likes, and nothing else.
	tierAdmin := func(ctx context.Context, space string, verbs ...string) harness.Runner {
		GinkgoHelper()
		file, err := cluster.KubeconfigForUser("tiers-" + space)
		Expect(err).NotTo(HaveOccurred())
		must.Succeed(admin.Kubectl(ctx, "-n", space, "create", "role", "tiers", "--verb="+strings.Join(verbs, ","), "--resource=servicetiers.cp.nuodb.com,servicetiers.cp.nuodb.com/status"))
		must.Succeed(admin.Kubectl(ctx, "-n", space, "create", "rolebinding", "tiers", "--role=tiers", "--user=tiers-"+space))
		return admin.As(file)
	}

	It("to Secrets an undo leaves the object alone", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		before := dump(ctx, space)
		user := tierAdmin(ctx, space, "*")
		r := user.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring(`secrets "holdfast-digest-key" is forbidden`))
		Expect(strings.Count(lastLine(r.Stderr), "ask for this right")).To(Equal(1))
		after := dump(ctx, space)
		for key, value := range before {
			Expect(after).To(HaveKeyWithValue(key, value))
		}
	})

	It("to create the object an undo does not remove it", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		before := get(ctx, harness.Tiers(), space, "t")
		user := tierAdmin(ctx, space, "get", "patch", "update")
		must.Succeed(admin.Kubectl(ctx, "-n", holdfastNamespace, "create", "rolebinding", "edit-"+space, "--clusterrole=edit", "--user=tiers-"+space))
		r := user.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("the API server would refuse creating it again: "))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(before))
	})
})

// lastLine is the last line of text.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
