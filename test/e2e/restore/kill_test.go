// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// ofAstarte are all that a restore of an Astarte that is gone writes, each with
// what has taken place when the command is killed right after it. One that is
// not here fails the test, and so does one that is never written.
func ofAstarte() map[string]string {
	const crs, rbac, hooks = "astartes.api.astarte-platform.org", "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
	return map[string]string{
		"journal begun":    "nothing",
		"journal taken up": "nothing more",
		"of the release: apply customresourcedefinitions.apiextensions.k8s.io": "a definition is there, or about to be",
		"of the release: apply serviceaccounts":                                "no rights yet",
		"of the release: apply clusterroles." + rbac:                           "nobody has them",
		"of the release: apply clusterrolebindings." + rbac:                    "no operator yet",
		"of the release: apply services":                                       "nobody answers",
		"of the release: apply deployments.apps":                               "the operator runs, without its webhooks",
		"of the release: apply validatingwebhookconfigurations." + hooks:       "its webhooks are asked",
		"of the release: apply mutatingwebhookconfigurations." + hooks:         "its webhooks are asked",
		"of the release: create secrets":                                       "Helm takes the release for installed",
		"started: secrets":                                                     "nothing",
		"create secrets":                                                       "one that is not noted as brought back",
		"done: secrets":                                                        "one",
		"create a probe for the garbage collector":                             "all that comes before the Astarte, and the probe, which nobody else deletes",
		"started: " + crs:                                                      "nothing more",
		"create " + crs:                                                        "the Astarte, without its status, and its operator at work on it",
		"created: " + crs:                                                      "the same, after its status was refused once",
		"replay status of " + crs:                                              "the Astarte",
		"done: " + crs:                                                         "the Astarte",
		"started: astartedefaultingresses.ingress.astarte-platform.org":        "nothing more",
		"create astartedefaultingresses.ingress.astarte-platform.org":          "an ingress",
		"done: astartedefaultingresses.ingress.astarte-platform.org":           "an ingress",
		"started: astartevoyageringresses.api.astarte-platform.org":            "nothing more",
		"create astartevoyageringresses.api.astarte-platform.org":              "an ingress",
		"done: astartevoyageringresses.api.astarte-platform.org":               "an ingress",
		"started: flows.api.astarte-platform.org":                              "nothing more",
		"create flows.api.astarte-platform.org":                                "a Flow",
		"done: flows.api.astarte-platform.org":                                 "a Flow",
		"journal closed":                                                       "everything",
	}
}

// perhaps are those of what the operator may have made first.
func perhaps() []string {
	return []string{"started: configmaps", "create configmaps", "done: configmaps", "cleared: configmaps", "cleared: secrets"}
}

// ofShelf are those of a set without a release and an operator.
func ofShelf() map[string]string {
	table := map[string]string{
		"journal begun": "nothing", "journal taken up": "nothing more", "journal closed": "everything",
		"create a probe for the garbage collector": "the keys, and the probe",
	}
	for _, resource := range []string{"customresourcedefinitions.apiextensions.k8s.io", "secrets", "shelves", "configmaps"} {
		table["started: "+resource] = "nothing more"
		table["create "+resource] = "one that is not noted as brought back"
		table["done: "+resource] = "one more"
	}
	return table
}

// ofLeftovers are those when all but the owner and its kind is left, and names it.
func ofLeftovers() map[string]string {
	table := ofShelf()
	for _, resource := range []string{"secrets", "configmaps"} {
		delete(table, "started: "+resource)
		delete(table, "create "+resource)
		delete(table, "done: "+resource)
		table["apply "+resource] = "the garbage collector has no reason any more to take one"
	}
	return table
}

// ofReplaced are those when everything is there and something else.
func ofReplaced() map[string]string {
	return map[string]string{
		"journal begun": "nothing", "journal taken up": "nothing more", "journal closed": "everything",
		"update secrets":    "one key as it was",
		"update shelves":    "the owner as it was",
		"update configmaps": "one as it was",
	}
}

// sightings are the UIDs of what a restore of h may have made.
func (h *home) sightings(ctx context.Context) map[string]types.UID {
	GinkgoHelper()
	found := map[string]types.UID{}
	look := func(gvr schema.GroupVersionResource, namespace string) {
		list, err := client.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return // its kind is not there, or its operator cannot convert it yet
		}
		for _, o := range list.Items {
			ours := namespace != "" || strings.Contains(o.GetName(), "astarte")
			if ours && !strings.HasPrefix(o.GetName(), "holdfast-collector-probe-") {
				found[gvr.Resource+" "+o.GetName()] = o.GetUID()
			}
		}
	}
	apps := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
	}
	for _, gvr := range []schema.GroupVersionResource{core("secrets"), core("configmaps"), h.Shape.Astartes(), h.Shape.Ingresses(), h.Shape.Flows(), apps("statefulsets")} {
		look(gvr, h.house)
	}
	for _, gvr := range []schema.GroupVersionResource{core("secrets"), core("serviceaccounts"), core("services"), apps("deployments")} {
		look(gvr, h.Namespace)
	}
	look(definitions(), "")
	return found
}

// cut kills a command after the first of its records that was not met before.
type cut struct {
	record func(harness.Write) string
	// refuse is a record that is refused once, for what is only written then.
	refuse string
	// perhaps are records that need not be met.
	perhaps []string

	mu      sync.Mutex
	met     map[string]bool
	refused bool
	killed  string
}

func (c *cut) judge(w harness.Write) harness.Verdict {
	name := c.record(w)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case name == "" || c.killed != "" || c.met[name]:
		return harness.Pass
	case name == c.refuse && !c.refused:
		c.refused = true
		return harness.Refuse
	}
	c.met[name], c.killed = true, name
	return harness.Kill
}

// again begins another run and gives back after which record the last was killed.
func (c *cut) again() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.killed
	c.killed = ""
	return last
}

// untilWhole runs a restore, kills it after each record that it has not been
// killed after, and lets it end when there is none left. What a run has left
// must be there ever after.
func untilWhole(ctx context.Context, c *cut, table map[string]string, sightings func(context.Context) map[string]types.UID, args ...string) {
	GinkgoHelper()
	gate, err := harness.NewGate(cluster)
	Expect(err).NotTo(HaveOccurred())
	defer gate.Close()
	saved, seen := ids(ctx), map[string]types.UID{}
	for range 2 * len(table) {
		r := gate.Holdfast(ctx, admin, c.judge, append(args, "--yes")...)
		record := c.again()
		if record == "" {
			must.Succeed(r)
			break
		}
		By("killed after: " + record)
		Expect(r.Code).To(Equal(-1), r.Output)
		Expect(slices.Concat(slices.Collect(maps.Keys(table)), c.perhaps)).To(ContainElement(record), "a record without a row")
		now := sightings(ctx)
		for name, uid := range seen {
			Expect(now).To(HaveKeyWithValue(name, uid), "after %s", record)
		}
		maps.Copy(seen, now)
	}
	met := slices.DeleteFunc(slices.Sorted(maps.Keys(c.met)), func(record string) bool { return slices.Contains(c.perhaps, record) })
	Expect(met).To(Equal(slices.Sorted(maps.Keys(table))), "rows without a kill")
	now := sightings(ctx)
	for name, uid := range seen {
		Expect(now).To(HaveKeyWithValue(name, uid))
	}
	Expect(ids(ctx)).To(Equal(saved), "a snapshot was taken or lost")
	again := admin.Holdfast(ctx, append(args, "--yes")...)
	must.Succeed(again)
	Expect(again.Stdout).NotTo(ContainSubstring("brought back from"))
	then := sightings(ctx)
	for name, uid := range now {
		Expect(then).To(HaveKeyWithValue(name, uid))
	}
}

var _ = Describe("A restore of a set that is killed after each of its records", func() {
	It("is finished by running it again, with nothing lost and nothing created twice: an Astarte", func(ctx SpecContext) {
		h := settle(ctx, "v23.5.2", "helm4")
		h.lose(ctx)
		c := &cut{record: namer(ctx, h.set, h.Namespace), refuse: "replay status of " + astartes, perhaps: perhaps(), met: map[string]bool{}}
		untilWhole(ctx, c, ofAstarte(), h.sightings, "recovery", "restore", "--set", h.set, "--profiles", "astarte")
		h.expectBack(ctx)
	})

	DescribeTable("is finished by running it again, with nothing lost and nothing created twice", func(ctx SpecContext, harm func(context.Context, *shelf), table map[string]string, more ...string) {
		s := fill(ctx)
		harm(ctx, s)
		name := namer(ctx, s.set, "")
		c := &cut{met: map[string]bool{}, record: func(w harness.Write) string {
			return strings.Replace(name(w), "shelves."+s.group, "shelves", 1)
		}}
		untilWhole(ctx, c, table, func(ctx context.Context) map[string]types.UID { return s.uids(ctx, s.namespace) }, s.args(more...)...)
		Expect(s.uids(ctx, s.namespace)).To(HaveLen(5))
		for _, key := range []string{"key-a", "key-b"} {
			Expect(held(ctx, s.namespace, "settings")).To(Equal(map[string]any{"level": "one"}))
			secret, err := kube.CoreV1().Secrets(s.namespace).Get(ctx, key, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(string(secret.Data["key"])).To(Equal("secret-of-" + key))
			Expect(secret.OwnerReferences).To(Or(BeEmpty(), HaveEach(HaveField("UID", s.uids(ctx, s.namespace)["one"]))))
		}
	},
		Entry("all of it is gone", func(ctx context.Context, s *shelf) { s.burn(ctx) }, ofShelf()),
		Entry("what belonged to the owner is left", func(ctx context.Context, s *shelf) { s.orphan(ctx) }, ofLeftovers()),
		Entry("others are in its place", func(ctx context.Context, s *shelf) { s.spoil(ctx) }, ofReplaced(), "--existing", "replace"),
	)
})

var _ = Describe("A second restore of a set at the same time", func() {
	It("is told who is at work and since when, and changes nothing", func(ctx SpecContext) {
		s := fill(ctx)
		s.burn(ctx)
		gate, err := harness.NewGate(cluster)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gate.Close)
		reached, held := make(chan struct{}), make(chan struct{})
		proceed := sync.OnceFunc(func() { close(held) })
		DeferCleanup(proceed) // or the gate would not close
		ended := make(chan harness.Result, 1)
		var once sync.Once
		go func() {
			defer GinkgoRecover()
			ended <- gate.Holdfast(ctx, admin, func(w harness.Write) harness.Verdict {
				if place(w.Path).namespace == s.namespace {
					once.Do(func() { close(reached) })
					<-held
				}
				return harness.Pass
			}, s.args("--yes")...)
		}()
		Eventually(reached).Should(BeClosed())
		second := s.restore(ctx)
		Expect(second.Code).To(Equal(1), second.Output)
		Expect(second.Stderr).To(MatchRegexp(`another run is at work on the restore of shelves\.%s/%s/one/%s: \S+ \(process \d+ on .*\), since 2\S+Z, last sign of life at 2\S+Z; wait for it`, s.group, s.namespace, s.set))
		Expect(s.uids(ctx, s.namespace)).To(BeEmpty(), "the second did something")
		proceed()
		var first harness.Result
		Eventually(ended).Should(Receive(&first))
		must.Succeed(first)
		s.expectBack(ctx, s.namespace)
	})
})

// ids are the IDs of all that is saved.
func ids(ctx context.Context) []string {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "list", "-o", "name")
	must.Succeed(r)
	lines := strings.Fields(r.Stdout)
	slices.Sort(lines)
	return lines
}

// namer names the records of the restore of a set with an operator in namespace
// operators; what is none is empty.
func namer(ctx context.Context, id, operators string) func(harness.Write) string {
	GinkgoHelper()
	set, err := store.Set(ctx, id)
	Expect(err).NotTo(HaveOccurred())
	resources := map[string]string{}
	for _, m := range set.Members {
		resources["holdfast-snapshot-"+m.Snapshot] = m.Resource
	}
	verbs := map[string]string{"POST": "create", "PUT": "update", "PATCH": "apply", "DELETE": "delete"}
	return func(w harness.Write) string {
		at, what := place(w.Path), ""
		switch {
		case at.namespace == holdfastNamespace && strings.HasPrefix(at.name, "holdfast-snapshot-"):
			return snapshotRecord(w, resources[at.name])
		case at.namespace == holdfastNamespace && at.resource == "secrets":
			return journalRecord(w)
		case strings.Contains(string(w.Body), "holdfast-collector-probe-"):
			return "create a probe for the garbage collector"
		case at.subresource == "status":
			return "replay status of " + at.resource
		case operators != "" && (at.namespace == operators || at.namespace == ""):
			what = "of the release: "
		}
		return what + verbs[w.Method] + " " + at.resource
	}
}
