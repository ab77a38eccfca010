// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const astartes = "astartes.api.astarte-platform.org"

// home is an operator that is installed by Helm, and an Astarte of its.
type home struct {
	*standin.Installed
	helm, house string
	astarte     *unstructured.Unstructured
	// secrets is what the Secrets of the house held before the loss.
	secrets map[string]map[string]string
	set     string
}

func shapeOf(name string) standin.Shape {
	GinkgoHelper()
	for _, s := range standin.Shapes() {
		if s.Name == name {
			return s
		}
	}
	Fail("no such shape: " + name)
	return standin.Shape{}
}

// settle installs the operator, creates an Astarte and saves its set.
func settle(ctx SpecContext, shape, helm string) *home {
	GinkgoHelper()
	operators := must.Namespace(ctx, admin, "place")
	installed, err := standin.NewInstalled(ctx, cluster, shapeOf(shape), operators)
	Expect(err).NotTo(HaveOccurred())
	h := &home{Installed: installed, helm: helm, house: must.Namespace(ctx, admin, "place")}
	DeferCleanup(h.clear)
	h.install(ctx)
	operator := &standin.Operator{Shape: h.Shape}
	Eventually(func() error { return operator.CreateAstarte(ctx, admin, h.house, "one") }).Should(Succeed())
	Eventually(func(g Gomega) {
		h.astarte = must.Object(ctx, client, h.Shape.Astartes(), h.house, "one")
		g.Expect(h.astarte).NotTo(BeNil())
		g.Expect(h.astarte.GetFinalizers()).To(ContainElement(standin.Finalizer))
		version, _, _ := unstructured.NestedString(h.astarte.Object, "status", "astarteVersion")
		g.Expect(version).To(Equal(h.Shape.Version))
		g.Expect(h.read(ctx)).To(HaveKey("one-flow-one-flow-block-0"))
	}).Should(Succeed())
	// What the status of an ingress tells of load balancers cannot be kept.
	r := admin.Kubectl(ctx, "patch", "astartedefaultingress", "one-adi", "-n", h.house, "--subresource=status", "--type=merge",
		"-p", `{"status":{"broker":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}}`)
	must.Succeed(r)
	h.secrets = h.read(ctx)
	h.set = h.save(ctx)
	return h
}

func (h *home) install(ctx context.Context) {
	GinkgoHelper()
	Eventually(func() string {
		r := admin.Run(ctx, h.helm, "upgrade", "--install", standin.Release, h.Chart, "-n", h.Namespace)
		if r.Code != 0 {
			return r.Output
		}
		return ""
	}).Should(BeEmpty())
	// The garbage collector looks for kinds every 30 s, and at its start.
	Expect(cluster.RestartControllerManager()).To(Succeed())
}

// save saves the set of the Astarte and gives its ID.
func (h *home) save(ctx context.Context) string {
	GinkgoHelper()
	return saveSet(ctx, astartes, "one", "-n", h.house, "--profiles", "astarte")
}

// saveSet saves the set of an object and gives its ID.
func saveSet(ctx context.Context, args ...string) string {
	GinkgoHelper()
	r := admin.Holdfast(ctx, append([]string{"recovery", "snapshot", "-o", "json"}, args...)...)
	must.Succeed(r)
	var taken struct {
		Items []struct {
			Set struct {
				ID       string
				Complete bool
			}
		}
	}
	Expect(json.Unmarshal([]byte(r.Stdout), &taken)).To(Succeed())
	Expect(taken.Items[0].Set.Complete).To(BeTrue(), r.Stdout)
	return taken.Items[0].Set.ID
}

// read is what the Secrets of the house hold.
func (h *home) read(ctx context.Context) map[string]map[string]string {
	GinkgoHelper()
	list, err := client.Resource(core("secrets")).Namespace(h.house).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	all := map[string]map[string]string{}
	for i := range list.Items {
		if list.Items[i].GetName() != "one-unrelated" {
			all[list.Items[i].GetName()], _, _ = unstructured.NestedStringMap(list.Items[i].Object, "data")
		}
	}
	return all
}

// lose takes the operator, its definitions, the Astarte and all that belongs
// to it away, and what the user has made for it.
func (h *home) lose(ctx context.Context) {
	GinkgoHelper()
	must.Succeed(admin.Run(ctx, h.helm, "uninstall", standin.Release, "-n", h.Namespace))
	for name := range strings.Lines(admin.Kubectl(ctx, "get", "crd", "-o", "name").Stdout) {
		if name = strings.TrimSpace(name); strings.Contains(name, "astarte-platform.org") {
			must.Succeed(admin.Kubectl(ctx, "delete", name, "--wait=false", "--ignore-not-found"))
		}
	}
	// The finalizer of an operator that came back and found it Terminating. In
	// which version it can be read without the conversion webhook depends.
	Eventually(func() string {
		for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3"} {
			gvr := h.Shape.Astartes()
			gvr.Version = version
			_, _ = client.Resource(gvr).Namespace(h.house).Patch(ctx, "one", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		}
		return admin.Kubectl(ctx, "get", "crd", astartes, "--ignore-not-found").Stdout
	}).Should(BeEmpty())
	// The garbage collector, which has lost sight of the kind, would take some
	// of this later; the rest somebody deletes as leftovers.
	must.Succeed(admin.Kubectl(ctx, "delete", "secrets,configmaps,deployments,statefulsets,services", "--all", "-n", h.house))
	Eventually(h.read).WithArguments(ctx).Should(BeEmpty())
}

func (h *home) restore(ctx context.Context, more ...string) harness.Result {
	return admin.Holdfast(ctx, append([]string{"recovery", "restore", "--set", h.set, "--profiles", "astarte", "--yes"}, more...)...)
}

// expectSaved makes sure that a set of the Astarte that is back has all Secrets
// again, although nobody owns them now.
func (h *home) expectSaved(ctx context.Context) {
	GinkgoHelper()
	set, err := store.Set(ctx, h.save(ctx))
	Expect(err).NotTo(HaveOccurred())
	var members []string
	for _, m := range set.Members {
		members = append(members, m.String())
	}
	for name := range h.secrets {
		Expect(members).To(ContainElement("secrets " + h.house + "/" + name))
	}
}

// expectBack makes sure that all is as it was, and stays so.
func (h *home) expectBack(ctx context.Context) {
	GinkgoHelper()
	same := func(g Gomega) {
		now := h.read(ctx)
		for name, data := range h.secrets {
			g.Expect(now).To(HaveKeyWithValue(name, data), name)
		}
		a := must.Object(ctx, client, h.Shape.Astartes(), h.house, "one")
		g.Expect(a).NotTo(BeNil())
		g.Expect(a.GetDeletionTimestamp()).To(BeNil())
		g.Expect(a.Object["spec"]).To(Equal(h.astarte.Object["spec"]))
		g.Expect(must.Object(ctx, client, h.Shape.Ingresses(), h.house, "one-adi")).NotTo(BeNil())
		g.Expect(must.Object(ctx, client, h.Shape.Flows(), h.house, "one-flow")).NotTo(BeNil())
	}
	Eventually(same).Should(Succeed())
	By("the garbage collector beginning anew, with all kinds known")
	Expect(cluster.RestartControllerManager()).To(Succeed())
	probe := fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: probe, namespace: %s, ownerReferences: [{apiVersion: api.astarte-platform.org/%s, kind: Astarte, name: nosuch, uid: "00000000-0000-4000-8000-000000000000"}]}}`, h.house, h.Shape.API)
	must.Apply(ctx, admin, probe)
	Eventually(must.Object).WithArguments(ctx, client, core("configmaps"), h.house, "probe").WithTimeout(120 * time.Second).Should(BeNil())
	same(NewGomega(Fail))
	r := admin.Run(ctx, h.helm, "status", standin.Release, "-n", h.Namespace)
	must.Succeed(r)
	Expect(r.Stdout).To(ContainSubstring("STATUS: deployed"))
}

// followRunbook does what the runbook says, and gives what was printed.
func (h *home) followRunbook(ctx context.Context) string {
	GinkgoHelper()
	lines, err := harness.Runbook(ctx, "restore-astarte.md")
	Expect(err).NotTo(HaveOccurred())
	Expect(lines).To(HaveLen(5))
	all := ""
	for _, words := range lines {
		for i, word := range words {
			switch {
			case word == "SET":
				words[i] = h.set
			case word == "astarte" && words[i-1] == "-n":
				words[i] = h.house
			case word == "astarte":
				words[i] = "one"
			}
		}
		if words[2] == "restore" {
			words = append(words, "--profiles", "astarte", "--yes") // nobody types here, and no Holdfast is installed
		}
		r := admin.Run(ctx, words[0], words[1:]...)
		all += r.Output
		if words[2] != "scan" { // there may be other findings
			must.Succeed(r)
		}
		if words[2] == "list" {
			Expect(r.Stdout).To(ContainSubstring(h.set))
		}
	}
	return all
}

func toAny(data map[string]string) map[string]any {
	values := map[string]any{}
	for key, value := range data {
		values[key] = value
	}
	return values
}

// clear leaves nothing of the operator.
func (h *home) clear(ctx SpecContext) {
	defer h.Close()
	admin.Run(ctx, h.helm, "uninstall", standin.Release, "-n", h.Namespace, "--no-hooks")
	admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "astarte-operator-vastarte", "astarte-operator-mastarte", "--ignore-not-found")
	Eventually(func() string {
		left := ""
		for name := range strings.Lines(admin.Kubectl(ctx, "get", "crd", "-o", "name").Stdout) {
			if name = strings.TrimSpace(name); strings.Contains(name, "astarte-platform.org") {
				left += name
				admin.Kubectl(ctx, "delete", name, "--wait=false", "--ignore-not-found")
			}
		}
		for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3"} {
			gvr := h.Shape.Astartes()
			gvr.Version = version
			_, _ = client.Resource(gvr).Namespace(h.house).Patch(ctx, "one", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		}
		return left
	}).Should(BeEmpty())
}

var _ = Describe("An Astarte that is gone", func() {
	DescribeTable("comes back with the keys that it had", func(ctx SpecContext, shape, helm string) {
		h := settle(ctx, shape, helm)
		h.lose(ctx)

		By("its plan, which changes nothing")
		r := admin.Holdfast(ctx, "recovery", "restore", "--set", h.set, "--profiles", "astarte")
		Expect(r.Code).To(Equal(4), r.Output)
		Expect(r.Stdout).To(And(
			ContainSubstring("Plan: bring back Helm release %s/%s, revision 1", h.Namespace, standin.Release),
			ContainSubstring("note: not saved, and does not come back: of persistentvolumeclaims one-"),
			ContainSubstring("secrets %s/one-devices-ca", h.house)))
		Expect(strings.Index(r.Stdout, "one-devices-ca")).To(BeNumerically("<", strings.Index(r.Stdout, astartes+" "+h.house+"/one")), "the Secrets come before the Astarte")
		Expect(admin.Kubectl(ctx, "get", "crd", astartes, "--ignore-not-found").Stdout).To(BeEmpty())

		By("the restore")
		r = h.restore(ctx)
		must.Succeed(r)
		Expect(r.Output).To(ContainSubstring("are there, after the garbage collector has looked"))
		Expect(r.Output).To(ContainSubstring("its load-balancer addresses cannot be saved: they were [192.0.2.7], now none yet"))
		h.expectBack(ctx)

		By("the command once more, which has nothing to do")
		ca := must.Object(ctx, client, core("secrets"), h.house, "one-devices-ca")
		r = h.restore(ctx)
		must.Succeed(r)
		Expect(r.Stdout).NotTo(ContainSubstring("brought back from"))
		Expect(must.Object(ctx, client, core("secrets"), h.house, "one-devices-ca")).To(Equal(ca))
		h.expectSaved(ctx)
	},
		Entry(nil, "v1.0.4", "helm3"),
		Entry(nil, "v23.5.2", "helm4"),
		Entry(nil, "v24.5.1", "helm3"),
		Entry(nil, "v24.5.1", "helm4"),
	)

	It("and whose operator somebody reinstalled first comes back", func(ctx SpecContext) {
		h := settle(ctx, "v23.5.2", "helm3")
		h.lose(ctx)
		h.install(ctx)
		must.Succeed(h.restore(ctx))
		h.expectBack(ctx)
	})

	It("and of which Secrets were left comes back with these", func(ctx SpecContext) {
		h := settle(ctx, "v23.5.2", "helm3")
		h.lose(ctx)
		// The garbage collector leaves alone what names a kind that it does not know.
		Expect(cluster.RestartControllerManager()).To(Succeed())
		left, err := client.Resource(core("secrets")).Namespace(h.house).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "one-devices-ca", "ownerReferences": []any{map[string]any{
				"apiVersion": "api.astarte-platform.org/" + h.Shape.API, "kind": "Astarte", "name": "one", "uid": string(h.astarte.GetUID()),
			}}},
			"data": toAny(h.secrets["one-devices-ca"]),
		}}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		out := h.followRunbook(ctx)
		Expect(out).To(ContainSubstring("the reference to its owner, which is gone, is taken off first"))
		h.expectBack(ctx)
		Expect(must.Object(ctx, client, core("secrets"), h.house, "one-devices-ca").GetUID()).To(Equal(left.GetUID()))
	})

	It("and that somebody created again with new keys is refused, and gets the old keys when told so", func(ctx SpecContext) {
		h := settle(ctx, "v23.5.2", "helm4")
		h.lose(ctx)
		h.install(ctx)
		operator := &standin.Operator{Shape: h.Shape}
		Eventually(func() error {
			err := operator.CreateAstarte(ctx, admin, h.house, "one")
			if err != nil {
				admin.Kubectl(ctx, "delete", "secrets", "--all", "-n", h.house)
			}
			return err
		}).Should(Succeed())
		Eventually(h.read).WithArguments(ctx).Should(HaveKey("one-housekeeping-private-key"))
		Eventually(h.read).WithArguments(ctx).Should(HaveKey("one-devices-ca"))
		Expect(h.read(ctx)["one-devices-ca"]).NotTo(Equal(h.secrets["one-devices-ca"]))
		reborn := must.Object(ctx, client, h.Shape.Astartes(), h.house, "one").GetUID()

		r := h.restore(ctx)
		Expect(r.Code).To(Equal(1), r.Output)
		Expect(r.Stdout).To(MatchRegexp(`secrets %s/one-devices-ca: not possible: an object of its name exists already, created at \S+ \S+, with another content \(made\)`, h.house))
		Expect(r.Stderr).To(ContainSubstring("nothing was changed: "))
		// The operator copies the CA at each of its rounds, perhaps between the two
		// replacements; that is told, and the command run again.
		Eventually(func(g Gomega) {
			r := h.restore(ctx, "--existing", "replace")
			g.Expect(r.Code).To(Or(BeZero(), Equal(3)), r.Output)
			if r.Code == 3 {
				g.Expect(r.Stderr).To(ContainSubstring("/one-cfssl-ca: it was brought back, and somebody has written something else to it; run the command again with --existing replace"))
			}
			g.Expect(r.Code).To(BeZero(), r.Output)
		}).Should(Succeed())
		h.expectBack(ctx)
		Expect(must.Object(ctx, client, h.Shape.Astartes(), h.house, "one").GetUID()).To(Equal(reborn))
	})
})
