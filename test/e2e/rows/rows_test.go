// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const (
	tier     = "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t}, spec: {}}\n---\n"
	heldTier = "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t, finalizers: [example.com/hold]}, spec: {}}\n---\n"
	user     = "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: d}, spec: {type: {tierRef: {name: t}}}}\n---\n"
	widget   = "{apiVersion: free.example/v1, kind: Widget, metadata: {name: w}}\n---\n"
	inside   = "{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {cassandra: {deploy: true}}}\n---\n"
	crate    = "{apiVersion: rows.example/v1, kind: Crate, metadata: {name: c, finalizers: [example.com/hold]}}\n---\n"
	pallet   = "{apiVersion: rows.example/v1, kind: Pallet, metadata: {name: p}, spec: {crate: c}}\n---\n"
	box      = "{apiVersion: rows.example/v1, kind: Box, metadata: {name: b}}\n---\n"
	claim    = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a-cassandra-data-0}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}\n---\n"
	outside  = "{apiVersion: api.astarte-platform.org/v1alpha2, kind: Astarte, metadata: {name: a}, spec: {cassandra: {deploy: false}}}\n---\n"
)

// The answers. What a Fail entry covers is undone by no one while Holdfast is
// down; what an Ignore entry covers goes through; everything else is not sent.
const (
	goes    = ""
	refused = "denied the request"
	away    = "failed calling webhook"
	// fenced is the API server's own answer.
	fenced = "holdfast has fenced Helm release astarte-operator/astarte"
)

// strip removes all finalizers as a user.
func strip(object, user, more string) string {
	return "patch " + object + " -n NS --as=" + user + " --as-group=system:masters --type=merge -p {\"metadata\":{\"finalizers\":null" + more + "}}"
}

const (
	anybody         = "jane"
	someProgram     = "system:serviceaccount:somewhere:something"
	astarteOperator = "system:serviceaccount:astarte-operator:astarte"
	rowsOperator    = "system:serviceaccount:ops:rows"
)

// A row is one kind of request. NS stands for the namespace, UID for that of
// its tier t.
type row struct {
	// has is what the namespace holds; before is done while Holdfast is up, by
	// kubectl unless it begins with "holdfast"; then what it holds more is put.
	has, before, then string
	// do is the request, arguments of kubectl.
	do string
	// listed says that the request must wait until the API server knows that the
	// namespace holds guarded objects.
	listed bool
	// fenced says that it must wait until the API server knows of the fence.
	fenced   bool
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
	"delete of a guarded object in use that is approved":      {has: tier + user, before: "holdfast approve servicetier t -n NS --reason rows", do: "delete servicetier t -n NS --wait=false", up: goes, down: away},
	"delete of what needs an operator that is not there":      {has: box, do: "delete boxes.rows.example b -n NS", up: refused, down: away},

	"delete of the operator of an Astarte":               {has: outside, fenced: true, do: "delete deployment astarte -n astarte-operator --dry-run=server", up: fenced, down: fenced},
	"delete of its webhook configuration":                {has: outside, fenced: true, do: "delete mutatingwebhookconfiguration astarte --dry-run=server", up: fenced, down: fenced},
	"delete of its definition":                           {has: outside, fenced: true, do: "delete crd astartes.api.astarte-platform.org --dry-run=server", up: fenced, down: fenced},
	"delete of its namespace":                            {has: outside, fenced: true, do: "delete namespace astarte-operator --dry-run=server", up: fenced, down: fenced},
	"delete of the record of the revision that runs":     {has: outside, fenced: true, do: "delete secret sh.helm.release.v1.astarte.v2 -n astarte-operator --dry-run=server", up: fenced, down: fenced},
	"change of that record to uninstalling":              {has: outside, fenced: true, do: "label secret sh.helm.release.v1.astarte.v2 -n astarte-operator status=uninstalling --overwrite --dry-run=server", up: fenced, down: fenced},
	"delete of the record of an older revision":          {has: outside, fenced: true, do: "delete secret sh.helm.release.v1.astarte.v1 -n astarte-operator --dry-run=server", up: goes, down: goes},
	"change of the operator, as by an upgrade":           {has: outside, fenced: true, do: "annotate deployment astarte -n astarte-operator step=NS --overwrite", up: goes, down: goes},
	"delete of what belongs to another release":          {has: outside, fenced: true, do: "delete configmap other -n astarte-operator --dry-run=server", up: goes, down: goes},
	"delete by the operator of what the profile denies":  {has: outside + claim, do: "delete pvc a-cassandra-data-0 -n NS --wait=false --as=" + astarteOperator + " --as-group=system:masters", up: refused, down: away},
	"delete of the same by somebody else":                {has: outside + claim, do: "delete pvc a-cassandra-data-0 -n NS --wait=false", up: goes, down: goes},
	"removal of the finalizers of what is used":          {has: heldTier, before: "delete servicetier t -n NS --wait=false", then: user, do: strip("servicetier t", anybody, ""), up: refused, down: away},
	"the same by a program that may be the operator":     {has: heldTier, before: "delete servicetier t -n NS --wait=false", then: user, do: strip("servicetier t", someProgram, ""), up: refused, down: goes},
	"the same by the known operator":                     {has: crate, before: "delete crate c -n NS --wait=false", then: pallet, do: strip("crate c", rowsOperator, ""), up: goes, down: goes},
	"the same by a program that is not the operator":     {has: crate, before: "delete crate c -n NS --wait=false", then: pallet, do: strip("crate c", someProgram, ""), up: refused, down: away},
	"the same with the mark of an undo":                  {has: heldTier, before: "delete servicetier t -n NS --wait=false", then: user, do: strip("servicetier t", anybody, `,"annotations":{"holdfast.dev/undo":"UID"}`), up: goes, down: goes},
	"removal of finalizers of what is not being deleted": {has: heldTier + user, do: strip("servicetier t", anybody, ""), up: goes, down: goes},

	"delete of a referrer":            {has: tier + user, do: "delete database d -n NS --wait=false", up: goes, down: goes},
	"change of a referrer":            {has: tier + user, do: `patch database d -n NS --type=merge -p {"spec":{"type":{"tierRef":{"name":"gone"}}}}`, up: goes, down: goes},
	"change of a guarded object":      {has: tier, do: `patch servicetier t -n NS --type=merge -p {"spec":{"features":[]}}`, up: goes, down: goes},
	"creation of a guarded object":    {has: widget, do: "create -f - -n NS", up: goes, down: goes},
	"delete of what no profile names": {has: widget, do: "delete widget w -n NS", up: goes, down: goes},
	"delete of a built-in object":     {has: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", do: "delete configmap c -n NS", up: goes, down: goes},
}

// play prepares a namespace for each row, and then asks for all of them.
func play(ctx SpecContext, down bool) {
	GinkgoHelper()
	prepared := map[string]string{}
	for name, r := range table {
		namespace := must.Namespace(ctx, admin, "row")
		prepared[name] = namespace
		put(ctx, namespace, r.has)
		if r.before != "" {
			command := words(ctx, r.before, namespace)
			if command[0] != "holdfast" {
				command = append([]string{"kubectl"}, command...)
			}
			must.Succeed(admin.Run(ctx, command[0], command[1:]...))
		}
		if r.then != "" {
			put(ctx, namespace, r.then)
		}
	}
	for name, r := range table {
		if r.listed {
			Eventually(listed).WithArguments(ctx, prepared[name]).Should(BeTrue(), name)
		}
		if r.fenced {
			Eventually(func() string {
				return admin.Kubectl(ctx, "delete", "namespace", "astarte-operator", "--dry-run=server").Stderr
			}).Should(ContainSubstring(fenced), name)
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
		got := admin.RunInput(ctx, tier, "kubectl", words(ctx, r.do, prepared[name])...)
		if want == goes {
			Expect(got.Code).To(BeZero(), "%s: %s", name, got.Stderr)
			continue
		}
		Expect(got.Code).To(Equal(1), "%s went: %s", name, got.Stdout)
		Expect(got.Stderr).To(ContainSubstring(want), name)
	}
}

func words(ctx context.Context, command, namespace string) []string {
	GinkgoHelper()
	if strings.Contains(command, "UID") {
		r := admin.Kubectl(ctx, "get", "servicetier", "t", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
		must.Succeed(r)
		command = strings.ReplaceAll(command, "UID", r.Stdout)
	}
	return strings.Fields(strings.ReplaceAll(command, "NS", namespace))
}

var _ = Describe("Every row of the table", func() {
	It("holds with Holdfast up", func(ctx SpecContext) { play(ctx, false) })
	It("holds with Holdfast down: Fail entries refuse, Ignore entries let pass, all else is not sent", func(ctx SpecContext) { play(ctx, true) })
})
