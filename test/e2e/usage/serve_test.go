// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

var _ = Describe("holdfast serve behind a line that fails", Ordered, func() {
	const namespace = "cp"
	var (
		holdfast *harness.Holdfast
		admin    harness.Runner
		line     *harness.Proxy
		tiers    int
	)
	create := func(ctx SpecContext, text string) {
		GinkgoHelper()
		r := admin.RunInput(ctx, text, "kubectl", "create", "-n", namespace, "-f", "-")
		Expect(r.Code).To(BeZero(), r.Stderr)
	}
	tier := func(name, features string) string {
		return "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: " + name + "}, spec: {features: [" + features + "]}}\n"
	}
	database := func(name, tierRef string) string {
		return "---\n{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: " + name + "}, spec: {type: {tierRef: {" + tierRef + "}}}}\n"
	}

	BeforeAll(func(ctx SpecContext) {
		var err error
		holdfast, err = harness.Install(ctx, cluster, harness.Options{})
		Expect(err).NotTo(HaveOccurred())
		admin = holdfast.Admin()
		Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
		Expect(admin.Kubectl(ctx, "create", "namespace", namespace).Code).To(BeZero())

		line, _ = proxy(ctx)
		config, err := clientcmd.LoadFromFile(holdfast.Kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		for _, c := range config.Clusters {
			c.Server = line.URL()
		}
		holdfast.Kubeconfig = filepath.Join(cluster.Dir, "line.kubeconfig")
		Expect(clientcmd.WriteToFile(*config, holdfast.Kubeconfig)).To(Succeed())
		Expect(holdfast.Start(ctx)).To(Succeed())
		DeferCleanup(func() { Expect(holdfast.Stop()).To(Succeed()) })
	})

	DescribeTable("lets no tier go that was used a moment before", func(ctx SpecContext, hold func(*harness.Proxy)) {
		tiers++
		name := fmt.Sprintf("t%d", tiers)
		create(ctx, tier(name, "")+tier2(tier("free-"+name, "")))
		// Connections that were dropped before are made again in their time.
		Eventually(func(g Gomega) {
			r := admin.Kubectl(ctx, "delete", "servicetier", "-n", namespace, "free-"+name)
			g.Expect(r.Code).To(BeZero(), r.Stderr)
		}).WithTimeout(time.Minute).Should(Succeed())

		hold(line)
		create(ctx, database("db-"+name, "name: "+name))
		started := time.Now()
		r := admin.Kubectl(ctx, "delete", "servicetier", "-n", namespace, name)
		Expect(r.Code).NotTo(BeZero())
		Expect(r.Stderr).To(ContainSubstring(name))
		Expect(time.Since(started)).To(BeNumerically("<", 6*time.Second), r.Stderr)
		line.Thaw()
		Eventually(func() string {
			return admin.Kubectl(ctx, "delete", "servicetier", "-n", namespace, name).Stderr
		}).WithTimeout(time.Minute).Should(ContainSubstring("database " + namespace + "/db-" + name))
	},
		Entry("all connections hang", (*harness.Proxy).Freeze),
		Entry("those of before hang", (*harness.Proxy).FreezeExisting),
		Entry("they are dropped", (*harness.Proxy).Drop),
		Entry("they are 10 s late", func(p *harness.Proxy) { p.Delay(10 * time.Second) }),
		Entry("nothing is wrong", func(*harness.Proxy) {}),
	)

	It("keeps a feature that only a pinned older revision of a tier names", func(ctx SpecContext) {
		create(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: HelmFeature, metadata: {name: old}, spec: {}}\n---\n"+tier("kept", "{name: old}"))
		Expect(harness.RecordRevisions(ctx, admin)).To(Succeed())
		r := admin.Kubectl(ctx, "patch", "servicetier", "-n", namespace, "kept", "--type=merge", "-p", `{"spec":{"features":[]}}`)
		Expect(r.Code).To(BeZero(), r.Stderr)
		Expect(harness.RecordRevisions(ctx, admin)).To(Succeed())
		create(ctx, database("pins", "name: kept, revision: '1'"))

		remove := func() harness.Result { return admin.Kubectl(ctx, "delete", "helmfeature", "-n", namespace, "old") }
		r = remove()
		Expect(r.Code).NotTo(BeZero())
		Expect(r.Stderr).To(ContainSubstring("servicetier cp/kept (revision 1, pinned by database cp/pins)"))
		r = admin.Holdfast(ctx, "explain", "helmfeature", "old", "-n", namespace)
		Expect(r.Code).To(BeZero(), r.Stderr)
		Expect(r.Stdout).To(ContainSubstring("its revision 1, pinned by database cp/pins"))
		r = admin.Kubectl(ctx, "patch", "database", "-n", namespace, "pins", "--type=merge", "-p", `{"spec":{"type":{"tierRef":{"revision":"2"}}}}`)
		Expect(r.Code).To(BeZero(), r.Stderr)
		Eventually(func() string { r := remove(); return r.Stdout + r.Stderr }).Should(ContainSubstring("deleted"))
	})

	It("tells how it proved", func(ctx SpecContext) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, holdfast.MetricsURL+"/metrics", nil)
		Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		defer response.Body.Close() //nolint:errcheck // it was only read
		text, err := io.ReadAll(response.Body)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(MatchRegexp(`(?m)^holdfast_usage_proofs_total\{method="list",outcome="proved"\} [1-9]`))
		Expect(string(text)).To(MatchRegexp(`(?m)^holdfast_usage_references [1-9]`))
	})
})

// tier2 is a further document of a stream.
func tier2(text string) string { return "---\n" + text }
