// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"maps"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

// records are all that the journal of a rescue knows, each with what has taken
// place when a run is killed right after it. One that is not here fails the test.
func records() map[string]string {
	return map[string]string{
		"remembered ward": "the patients are known; once more when they are saved",
		"begun save":      "nothing",
		"ended save":      "snapshots of the Astarte and its Secrets",
		"aside customresourcedefinitions.apiextensions.k8s.io/" + astartes:            "nothing: the conversion is about to be switched off",
		"aside validatingwebhookconfigurations.admissionregistration.k8s.io/leftover": "nothing: its failures are about to be ignored",
		"begun freeze": "the conversion is off",
		"ended freeze": "the Astarte is frozen, failures of the leftover webhook are ignored",
		"aside customresourcedefinitions.apiextensions.k8s.io/" + voyagers: "nothing: the conversion of the one that is stuck is about to be switched off",
		"begun orphan": "nothing more",
		"ended orphan": "the garbage collector has set everything free",
		"begun strip":  "nothing more",
		"ended strip":  "the Astarte is gone",
		"begun kind":   "nothing more",
		"ended kind":   "the definition that was stuck is gone",
		"back customresourcedefinitions.apiextensions.k8s.io/" + voyagers:            "nothing: it is gone",
		"back validatingwebhookconfigurations.admissionregistration.k8s.io/leftover": "the leftover webhook refuses again",
		"back customresourcedefinitions.apiextensions.k8s.io/" + astartes:            "the conversion is as it was, if the definition is still there",
		"begun definition": "nothing more",
		"ended definition": "the definition is gone",
		"begun operator":   "nothing more",
		"ended operator":   "the operator is there",
		"begun ready":      "nothing more",
		"ended ready":      "its webhooks have answered",
		"begun create":     "nothing more",
		"ended create":     "the Astarte is there, in maintenance mode",
		"begun status":     "nothing more",
		"ended status":     "it has its status",
		"begun thaw":       "nothing more",
		"ended thaw":       "the operator works",
		"begun verify":     "nothing more",
		"ended verify":     "everything has been compared",
		"begun referrers":  "nothing more",
		"ended referrers":  "what names the Astarte is there",
		"closed -":         "nothing is left to do",
	}
}

// leftover is a webhook configuration of the operator that its uninstallation
// left behind, and that nobody serves.
const leftover = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: leftover}
webhooks:
- name: vastarte.left.behind
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  clientConfig: {url: "https://127.0.0.1:9/validate"}
  rules: [{apiGroups: [api.astarte-platform.org], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [astartes]}]
`

var _ = Describe("A rescue that is killed after each record of its journal", func() {
	It("is finished by running it again, and nothing is lost, nor done twice", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v1.0.4"), "helm4", "victim")
		expectRecorded(ctx, p)
		storeOtherwise(ctx, voyagers)
		bypass(ctx)
		p.uninstall(ctx)
		expectStuck(ctx, voyagers)
		must.Succeed(stage.Admin.RunInput(ctx, leftover, "kubectl", "create", "-f", "-"))
		policy := func() string {
			return stage.Admin.Kubectl(ctx, "get", "validatingwebhookconfiguration", "leftover", "-o", "jsonpath={.webhooks[0].failurePolicy}").Stdout
		}
		DeferCleanup(func(ctx SpecContext) {
			must.Succeed(stage.Admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "leftover", "--ignore-not-found"))
		})

		j := job{
			Kubeconfig: stage.Cluster.Kubeconfig, Holdfast: holdfast.Namespace, Dir: GinkgoT().TempDir(),
			Name:    types.NamespacedName{Namespace: house, Name: "victim"},
			Install: []string{stage.Cluster.Tool("helm4"), "upgrade", "--install", standin.Release, p.Chart, "-n", operators},
		}
		table, seen := records(), map[string]int{}
		for range 3 * len(table) {
			record, err := runVictim(ctx, j)
			Expect(err).NotTo(HaveOccurred(), "after %v", seen)
			if record == "" {
				break
			}
			Expect(table).To(HaveKey(record), "a record without a row")
			seen[record]++
			if record == "ended strip" {
				Expect(policy()).To(Equal("Ignore"))
			}
			if record == "begun definition" {
				Expect(policy()).To(Equal("Fail"))
				// It would be in the way of everybody, the operator included.
				must.Succeed(stage.Admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "leftover"))
			}
		}
		Expect(slices.Sorted(maps.Keys(seen))).To(Equal(slices.Sorted(maps.Keys(table))), "rows without a kill")
		for record, times := range seen {
			if record != "remembered ward" {
				Expect(times).To(Equal(1), record)
			}
		}
		p.expectBack(ctx)
		_, err := voyager(ctx, p, "victim-avi")
		Expect(err).NotTo(HaveOccurred())
		Expect(stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "victim", "-n", house, "--yes").Stdout).To(ContainSubstring("it is not Terminating"))
	})
})
