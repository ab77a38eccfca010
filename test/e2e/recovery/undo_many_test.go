// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// databases makes n of them on the tiers in turn; one pins a revision.
func databases(ctx context.Context, space string, n int, tiers ...string) {
	GinkgoHelper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			ref := map[string]any{"name": tiers[i%len(tiers)]}
			if i == 0 {
				ref["revision"] = "2"
			}
			_, err := client.Resource(harness.Databases()).Namespace(space).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Database", "metadata": map[string]any{"name": fmt.Sprintf("d-%d", i)},
				"spec": map[string]any{"type": map[string]any{"tierRef": ref}},
			}}, metav1.CreateOptions{})
			return err
		})
	}
	Expect(group.Wait()).To(Succeed())
}

// touched is every database with its version.
func touched(ctx context.Context, space string) map[string]string {
	GinkgoHelper()
	list, err := client.Resource(harness.Databases()).Namespace(space).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	versions := map[string]string{}
	for _, d := range list.Items {
		versions[d.GetName()] = string(d.GetUID()) + " " + d.GetResourceVersion()
	}
	return versions
}

var _ = Describe("The undo of many", func() {
	It("brings back two tiers and three features of 1,000 databases, and touches no database", func(ctx SpecContext) {
		space := newNamespace(ctx)
		var features, tiers []*unstructured.Unstructured
		for _, name := range []string{"f1", "f2", "f3"} {
			features = append(features, newFeature(ctx, space, name))
		}
		tiers = append(tiers, newTier(ctx, space, "t1", map[string]any{"name": "f1"}, map[string]any{"name": "f2"}), newTier(ctx, space, "t2", map[string]any{"name": "f3"}))
		databases(ctx, space, 1000, "t1", "t2")
		for name, ready := range map[string]string{"d-1": "True", "d-2": "False"} {
			_, err := client.Resource(harness.Databases()).Namespace(space).Patch(ctx, name, types.MergePatchType,
				[]byte(`{"status":{"conditions":[{"type":"Ready","status":"`+ready+`","reason":"ValidationFailed","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`), metav1.PatchOptions{}, "status")
			Expect(err).NotTo(HaveOccurred())
		}
		before := touched(ctx, space)
		Expect(before).To(HaveLen(1000))
		for _, t := range tiers {
			deleteByMistake(ctx, "servicetier", space, t.GetName())
		}
		for _, f := range features {
			deleteByMistake(ctx, "helmfeature", space, f.GetName())
		}

		r := admin.Holdfast(ctx, "recovery", "undo", "tier/t1", "tier/t2", "feature/f1", "feature/f2", "feature/f3", "-n", space, "--yes")
		must.Succeed(r)
		for _, f := range features {
			expectBack(ctx, harness.Features(), f)
		}
		for _, t := range tiers {
			expectBack(ctx, harness.Tiers(), t)
		}
		Expect(touched(ctx, space)).To(Equal(before))
		Expect(r.Stderr).To(ContainSubstring("1000 databases.cp.nuodb.com refer to it: 1 Ready, 1 not Ready, 998 not judged (without a condition Ready); not Ready: " + space + "/d-2 (ValidationFailed)"))
		Expect(r.Stderr).NotTo(ContainSubstring("it lacks revisions"), "the history is there again")
	})

	It("says which pinned revisions are not there", func(ctx SpecContext) {
		space := newNamespace(ctx)
		create(ctx, harness.Tiers(), tierObject(space, "t"))
		databases(ctx, space, 1, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring("it lacks revisions that are pinned by " + space + "/d-0 (revision 2 of t)"))
	})
})

var _ = Describe("The runbook of an undo", func() {
	It("does what it says", func(ctx SpecContext) {
		const space = "nuodb-cp-system"
		must.Succeed(admin.Kubectl(ctx, "create", "namespace", space))
		feature := newFeature(ctx, space, "small-resources")
		tier := newTier(ctx, space, "n0.small", map[string]any{"name": "small-resources"})
		deleteByMistake(ctx, "servicetier", space, "n0.small")
		deleteByMistake(ctx, "helmfeature", space, "small-resources")
		lines, err := harness.Runbook(ctx, "undo-tier.md")
		Expect(err).NotTo(HaveOccurred())
		Expect(lines).To(HaveLen(5))
		for i, words := range lines {
			r := admin.Run(ctx, words[0], words[1:]...)
			if words[2] == "scan" {
				// Others have left something behind, and nobody stands guard here.
				Expect(strings.Contains(r.Stdout, "servicetiers.cp.nuodb.com "+space+"/n0.small")).To(Equal(i == 0), r.Output)
				continue
			}
			must.Succeed(r)
		}
		expectBack(ctx, harness.Features(), feature)
		expectBack(ctx, harness.Tiers(), tier)
	})
})
