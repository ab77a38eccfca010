// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const (
	feature = "{apiVersion: cp.nuodb.com/v1beta1, kind: HelmFeature, metadata: {name: used}, spec: {values: {}}}"
	tier    = "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: used}, spec: {features: []}}"
)

// Every path of the built-in profile by which a referrer can name its target.
// OTHER stands for the target's namespace and NS for the referrer's.
var paths = []struct {
	name, target, referrer string
	resource               schema.GroupVersionResource
	field                  string
}{
	{
		"a tier named by a database", tier,
		"{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used, namespace: OTHER}}}}",
		harness.Tiers(), "spec.type.tierRef",
	},
	{
		"a tier named by a domain", tier,
		"{apiVersion: cp.nuodb.com/v1beta1, kind: Domain, metadata: {name: user}, spec: {type: {tierRef: {name: used, namespace: OTHER}}}}",
		harness.Tiers(), "spec.type.tierRef",
	},
	{
		"a feature named by a tier", feature,
		"{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: user}, spec: {features: [{name: another}, {name: used, namespace: OTHER}]}}",
		harness.Features(), "spec.features",
	},
	{
		"a feature named by a database's overrides", feature,
		"{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: none, featureOverrides: [{name: used, namespace: OTHER, revision: '7'}]}}}}",
		harness.Features(), "spec.type.tierRef.featureOverrides",
	},
	{
		"a feature named by a domain's overrides", feature,
		"{apiVersion: cp.nuodb.com/v1beta1, kind: Domain, metadata: {name: user}, spec: {type: {tierRef: {name: none, featureOverrides: [{name: used, namespace: OTHER}]}}}}",
		harness.Features(), "spec.type.tierRef.featureOverrides",
	},
}

// The ways to ask for a deletion; NS stands for the namespace.
var ways = []struct {
	name string
	args func(namespace, resource string) []string
}{
	{"by name", func(namespace, resource string) []string {
		return []string{"delete", resource, "used", "-n", namespace, "--wait=false"}
	}},
	{"with --all", func(namespace, resource string) []string {
		return []string{"delete", resource, "--all", "-n", namespace, "--wait=false"}
	}},
	{"as a collection", func(namespace, resource string) []string {
		return []string{"delete", "--raw", fmt.Sprintf("/apis/cp.nuodb.com/v1beta1/namespaces/%s/%s", namespace, resource)}
	}},
	{"by force", func(namespace, resource string) []string {
		return []string{"delete", resource, "used", "-n", namespace, "--force", "--grace-period=0", "--wait=false"}
	}},
}

var _ = Describe("What is in use", func() {
	for _, path := range paths {
		for _, across := range []bool{false, true} {
			where := "from its own namespace, without saying so"
			if across {
				where = "from another namespace"
			}
			It(path.name+" "+where+" stays, however its deletion is asked for", func(ctx SpecContext) {
				namespace := must.Namespace(ctx, admin, "team")
				create(ctx, namespace, path.target)
				from, referrer := namespace, strings.ReplaceAll(path.referrer, ", namespace: OTHER", "")
				if across {
					from, referrer = must.Namespace(ctx, admin, "team"), strings.ReplaceAll(path.referrer, "OTHER", namespace)
				}
				create(ctx, from, referrer)
				for _, way := range ways {
					r := admin.Kubectl(ctx, way.args(namespace, path.resource.Resource)...)
					Expect(r.Code).To(Equal(1), "%s: %s", way.name, r.Stdout)
					Expect(r.Stderr).To(ContainSubstring("is in use by 1 object: "), way.name)
					expectUntouched(ctx, path.resource, namespace, "used")
				}
				Expect(savedNames(ctx, namespace)).NotTo(ContainElement("used"), "refused, and saved all the same")

				By("letting it go once nothing refers to it any more")
				must.Succeed(admin.Kubectl(ctx, "delete", "databases,domains,servicetiers", "user", "-n", from, "--ignore-not-found"))
				must.Succeed(admin.Kubectl(ctx, "delete", path.resource.Resource, "used", "-n", namespace))
				Expect(savedNames(ctx, namespace)).To(ContainElement("used"))
			})
		}
	}

	It("is not what only bears the same name in another namespace", func(ctx SpecContext) {
		namespace, other := must.Namespace(ctx, admin, "team"), must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		create(ctx, other, tier)
		create(ctx, other, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user}, spec: {type: {tierRef: {name: used}}}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace))
		Expect(admin.Kubectl(ctx, "delete", "tier", "used", "-n", other).Code).To(Equal(1))
		expectUntouched(ctx, harness.Tiers(), other, "used")
	})

	It("is said with the chain of those who use it", func(ctx SpecContext) {
		namespace, tenant := must.Namespace(ctx, admin, "team"), must.Namespace(ctx, admin, "team")
		create(ctx, namespace, feature)
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: n0.small}, spec: {features: [{name: used}]}}")
		create(ctx, tenant, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: demo}, spec: {type: {tierRef: {name: n0.small, namespace: "+namespace+"}}}}")
		r := admin.Kubectl(ctx, "delete", "feature", "used", "-n", namespace)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(MatchRegexp(`in use by 1 object: .*n0\.small.* \(in use by .*demo.*\)`))
	})

	It("names the first three of many, sorted, and how many there are", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		for _, name := range []string{"e", "b", "d", "a", "c"} {
			create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: db-"+name+"}, spec: {type: {tierRef: {name: used}}}}")
		}
		err := client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", metav1.DeleteOptions{})
		status := statusOf(err)
		Expect(status.Message).To(And(
			ContainSubstring("in use by 5 objects: "),
			MatchRegexp("db-a.*db-b.*db-c.* and 2 more"),
			Not(ContainSubstring("db-d")),
		))
		Expect(status.Details.Causes).To(HaveLen(3))
	})

	It("is refused with 403, a reason, causes, and the same text as warnings", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: demo}, spec: {type: {tierRef: {name: used}}}}")
		warnings := &collector{}
		err := warned(warnings).Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", metav1.DeleteOptions{})

		status := statusOf(err)
		Expect(status.Code).To(BeEquivalentTo(403))
		Expect(status.Reason).To(Equal(metav1.StatusReasonForbidden))
		Expect(status.Message).To(And(
			HavePrefix(`admission webhook "guard.holdfast.dev" denied the request: `),
			ContainSubstring("used"), ContainSubstring("demo"),
			ContainSubstring("It was not deleted. "),
			ContainSubstring("then delete again (a moment later, if you just did)."),
			ContainSubstring("holdfast explain servicetiers.cp.nuodb.com used -n "+namespace),
		))
		Expect(status.Details.Kind).To(Equal("servicetiers"))
		Expect(status.Details.Name).To(Equal("used"))
		Expect(status.Details.Causes).To(HaveLen(1))
		Expect(status.Details.Causes[0].Type).To(BeEquivalentTo("HoldfastInUse"))
		Expect(status.Details.Causes[0].Message).To(ContainSubstring("demo"))
		Expect(status.Details.Causes[0].Field).To(ContainSubstring("spec.type.tierRef"))

		_, text, _ := strings.Cut(status.Message, "denied the request: ")
		Expect(warnings.joined()).To(Equal(text))
	})
})
