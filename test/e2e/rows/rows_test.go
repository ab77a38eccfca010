// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const (
	tier     = "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t}, spec: {}}\n---\n"
	heldTier = "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t, finalizers: [example.com/hold]}, spec: {}}\n---\n"
	user     = "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: d}, spec: {type: {tierRef: {name: t}}}}\n---\n"
	widget   = "{apiVersion: free.example/v1, kind: Widget, metadata: {name: w}}\n---\n"
	inside   = "{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {cassandra: {deploy: true}}}\n---\n"
	outside  = "{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {cassandra: {deploy: false}}}\n---\n"
)

// The answers. What a Fail entry covers is undone by no one while Holdfast is
// down; what an Ignore entry covers goes through; everything else is not sent.
const (
	goes    = ""
	refused = "denied the request"
	away    = "failed calling webhook"
)

// A row is one kind of request. NS stands for the namespace.
type row struct {
	// has is what the namespace holds; before is done while Holdfast is up.
	has, before string
	// do is the request, arguments of kubectl.
	do string
	// listed says that the request must wait until the API server knows that the
	// namespace holds guarded objects.
	listed   bool
	up, down string
}

var table = map[string]row{
	"delete of a guarded object in use":                       {has: tier + user, do: "delete servicetier t -n NS --wait=false", up: refused, down: away},
	"delete of a guarded object in use, as a collection":      {has: tier + user, do: "delete --raw /apis/cp.nuodb.com/v1beta1/namespaces/NS/servicetiers", up: refused, down: away},
	"delete of a guarded object in use, dry-run":              {has: tier + user, do: "delete servicetier t -n NS --dry-run=server", up: refused, down: away},
	"delete of a guarded object that nobody uses":             {has: tier, do: "delete servicetier t -n NS --wait=false", up: goes, down: away},
	"delete of a guarded object that nobody uses, dry-run":    {has: tier, do: "delete servicetier t -n NS --dry-run=server", up: goes, down: away},
	"delete of an Astarte with its own Cassandra":             {has: inside, do: "delete astarte a -n NS --wait=false", up: refused, down: away},
	"delete of an Astarte whose database is elsewhere":        {has: outside, do: "delete astarte a -n NS --wait=false", up: goes, down: away},
	"delete of a definition with instances":                   {has: tier, do: "delete crd servicetiers.cp.nuodb.com --wait=false", up: refused, down: away},
	"delete of a definition with instances, dry-run":          {has: tier, do: "delete crd servicetiers.cp.nuodb.com --dry-run=server", up: refused, down: away},
	"delete of a definition that no profile names, dry-run":   {has: widget, do: "delete crd widgets.free.example --dry-run=server", up: goes, down: goes},
	"delete of a namespace with objects in use":               {has: tier + user, do: "delete namespace NS --wait=false", listed: true, up: refused, down: away},
	"delete of a namespace with an Astarte":                   {has: outside, do: "delete namespace NS --wait=false", listed: true, up: refused, down: away},
	"delete of a namespace with what nobody uses":             {has: tier, do: "delete namespace NS --wait=false", listed: true, up: goes, down: away},
	"delete of a namespace without guarded objects":           {has: widget, do: "delete namespace NS --wait=false", up: goes, down: goes},
	"delete of a Terminating object again":                    {has: heldTier, before: "delete servicetier t -n NS --wait=false", do: "delete servicetier t -n NS --wait=false", up: goes, down: goes},
	"delete of a Terminating namespace again":                 {has: widget, before: "delete namespace NS --wait=false", do: "delete namespace NS --wait=false --ignore-not-found", up: goes, down: goes},
	"removal of the finalizers of what is used no more":       {has: heldTier, before: "delete servicetier t -n NS --wait=false", do: `patch servicetier t -n NS --as=system:serviceaccount:nuodb-cp-system:operator --as-group=system:masters --type=merge -p {"metadata":{"finalizers":null}}`, up: goes, down: goes},
	"delete by the namespace controller":                      {has: tier, do: "delete --raw /apis/cp.nuodb.com/v1beta1/namespaces/NS/servicetiers --as=system:serviceaccount:kube-system:namespace-controller --as-group=system:masters", up: goes, down: goes},
	"delete of a used object by the namespace controller":     {has: tier + user, do: "delete --raw /apis/cp.nuodb.com/v1beta1/namespaces/NS/servicetiers --as=system:serviceaccount:kube-system:namespace-controller --as-group=system:masters", up: goes, down: goes},
	"delete by the controller manager under its own identity": {has: tier + user, do: "delete servicetier t -n NS --wait=false --as=system:kube-controller-manager --as-group=system:masters", up: goes, down: goes},
	"delete of a used object by the garbage collector":        {has: tier + user, do: "delete servicetier t -n NS --wait=false --as=system:serviceaccount:kube-system:generic-garbage-collector --as-group=system:masters", up: refused, down: away},
	"delete of a referrer":                                    {has: tier + user, do: "delete database d -n NS --wait=false", up: goes, down: goes},
	"change of a referrer":                                    {has: tier + user, do: `patch database d -n NS --type=merge -p {"spec":{"type":{"tierRef":{"name":"gone"}}}}`, up: goes, down: goes},
	"change of a guarded object":                              {has: tier, do: `patch servicetier t -n NS --type=merge -p {"spec":{"features":[]}}`, up: goes, down: goes},
	"creation of a guarded object":                            {has: widget, do: "create -f - -n NS", up: goes, down: goes},
	"delete of what no profile names":                         {has: widget, do: "delete widget w -n NS", up: goes, down: goes},
	"delete of a built-in object":                             {has: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", do: "delete configmap c -n NS", up: goes, down: goes},
}

// play prepares a namespace for each row, and then asks for all of them.
func play(ctx SpecContext, down bool) {
	GinkgoHelper()
	prepared := map[string]string{}
	for name, r := range table {
		namespace := newNamespace(ctx)
		prepared[name] = namespace
		put(ctx, namespace, r.has)
		if r.before != "" {
			expectDone(admin.Kubectl(ctx, words(r.before, namespace)...))
		}
	}
	for name, r := range table {
		if r.listed {
			Eventually(listed).WithArguments(ctx, prepared[name]).Should(BeTrue(), name)
		}
	}
	if down {
		Expect(holdfast.Kill()).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(holdfast.Start(ctx)).To(Succeed()) })
	}
	for name, r := range table {
		want := r.up
		if down {
			want = r.down
		}
		got := admin.RunInput(ctx, tier, "kubectl", words(r.do, prepared[name])...)
		if want == goes {
			Expect(got.Code).To(BeZero(), "%s: %s", name, got.Stderr)
			continue
		}
		Expect(got.Code).To(Equal(1), "%s went: %s", name, got.Stdout)
		Expect(got.Stderr).To(ContainSubstring(want), name)
	}
}

func words(command, namespace string) []string {
	return strings.Fields(strings.ReplaceAll(command, "NS", namespace))
}

var _ = Describe("Every row of the table", func() {
	It("holds with Holdfast up", func(ctx SpecContext) { play(ctx, false) })
	It("holds with Holdfast down: Fail entries refuse, Ignore entries let pass, all else is not sent", func(ctx SpecContext) { play(ctx, true) })
})
