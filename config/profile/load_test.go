// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// profileWith is a small good profile with one text replaced by another.
func profileWith(old, replacement string) string {
	const good = `
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: example}
spec:
  mode: enforce
  requireDistinctApprover: false
  resources:
  - resource: plans.billing.example
    mode: enforce
    snapshot: required
    restore: {status: true, order: 20}
    referencedBy:
    - resource: subscriptions.billing.example
      path: '{.spec.planRef}'
    storedRevisions: {path: '{.status.history.revisions[*]}', number: '{.generation}', spec: '{.spec}', encoding: base64json}
    closure:
    - {resource: secrets, ownedBy: true}
    - {resource: secrets, path: '{.spec.caSecret}'}
    - {resource: invoices.billing.example, referring: '{.spec.subscription}'}
    - {resource: persistentvolumeclaims, ownedBy: false, namePrefix: '{.metadata.name}-data', namesOnly: true}
    recoverable:
    - {unless: 'object.spec.?db.?external.orValue(false)', because: 'the database inside the instance goes with it'}
  crds: {blockWhileInstancesExist: true}
  namespaces: {blockWhileHolding: inUse}
  operators:
  - release: {ofCRDs: ['plans.billing.example']}
    serviceAccounts: [{namespace: billing-system, name: billing-operator}]
    requiredFor: ['plans.billing.example']
    denyDeletes: [{resource: persistentvolumeclaims, namePrefix: 'data'}]
`
	return strings.Replace(good, old, replacement, 1)
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		profile string
		wantErr []string // texts that the error holds; none: it is good
	}{
		"every field of the contract": {profile: profileWith("", "")},
		"two documents":               {profile: profileWith("", "") + "---\n" + profileWith("name: example", "name: other")},
		"unknown field at the top":    {profile: profileWith("spec:", "spek:"), wantErr: []string{`unknown field "spek"`}},
		"unknown field inside": {
			profile: profileWith("path: '{.spec.planRef}'", "path: '{.spec.planRef}'\n      pfad: x"),
			wantErr: []string{`unknown field "spec.resources[0].referencedBy[0].pfad"`},
		},
		"a field twice":           {profile: profileWith("snapshot: required", "snapshot: required\n    snapshot: none"), wantErr: []string{"snapshot"}},
		"wrong apiVersion":        {profile: profileWith("holdfast.dev/v1alpha1", "holdfast.dev/v1"), wantErr: []string{"apiVersion", `"holdfast.dev/v1"`}},
		"wrong kind":              {profile: profileWith("GuardProfile", "Profile"), wantErr: []string{"kind", `"Profile"`}},
		"no name":                 {profile: profileWith("metadata: {name: example}", "metadata: {}"), wantErr: []string{"metadata.name"}},
		"unknown mode":            {profile: profileWith("mode: enforce", "mode: strict"), wantErr: []string{"spec.mode", "strict", "enforce"}},
		"unknown mode inside":     {profile: profileWith("    mode: enforce", "    mode: loud"), wantErr: []string{"spec.resources[0].mode"}},
		"unknown snapshot policy": {profile: profileWith("snapshot: required", "snapshot: always"), wantErr: []string{"spec.resources[0].snapshot", "always"}},
		"empty path":              {profile: profileWith("{.spec.planRef}", ""), wantErr: []string{"spec.resources[0].referencedBy[0].path", "empty"}},
		"path without braces":     {profile: profileWith("{.spec.planRef}", ".spec.planRef"), wantErr: []string{"spec.resources[0].referencedBy[0].path", "braces"}},
		"path with text around":   {profile: profileWith("{.spec.planRef}", "x{.spec.planRef}"), wantErr: []string{"spec.resources[0].referencedBy[0].path", "braces"}},
		"path that does not end":  {profile: profileWith("{.spec.planRef}", "{.spec.planRef"), wantErr: []string{"spec.resources[0].referencedBy[0].path", "unclosed"}},
		"path with a range":       {profile: profileWith("{.spec.planRef}", "{range .spec.items[*]}"), wantErr: []string{"spec.resources[0].referencedBy[0].path"}},
		"no resources":            {profile: "apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: x}\nspec: {resources: []}", wantErr: []string{"spec.resources", "at least one"}},
		"resource empty":          {profile: profileWith("resource: plans.billing.example", "resource: ''"), wantErr: []string{"spec.resources[0].resource"}},
		"resource in upper case":  {profile: profileWith("resource: plans.billing.example", "resource: Plans.billing.example"), wantErr: []string{"spec.resources[0].resource"}},
		"resource twice":          {profile: profileWith("  crds:", "  - resource: plans.billing.example\n  crds:"), wantErr: []string{"spec.resources[1].resource", "Duplicate"}},
		"bad revision encoding":   {profile: profileWith("base64json", "gzip"), wantErr: []string{"spec.resources[0].storedRevisions.encoding", "gzip"}},
		"revision number empty":   {profile: profileWith("{.generation}", ""), wantErr: []string{"spec.resources[0].storedRevisions.number"}},
		"member with two selectors": {
			profile: profileWith("{resource: secrets, ownedBy: true}", "{resource: secrets, ownedBy: true, path: '{.x}'}"),
			wantErr: []string{"spec.resources[0].closure[0]", "exactly one"},
		},
		"bad CEL":            {profile: profileWith("object.spec.?db", "object.spec..db"), wantErr: []string{"spec.resources[0].recoverable[0].unless"}},
		"CEL of wrong type":  {profile: profileWith("'object.spec.?db.?external.orValue(false)'", "'1 + 1'"), wantErr: []string{"recoverable[0].unless", "condition"}},
		"no reason":          {profile: profileWith("'the database inside the instance goes with it'", "''"), wantErr: []string{"recoverable[0].because"}},
		"bad holding":        {profile: profileWith("blockWhileHolding: inUse", "blockWhileHolding: some"), wantErr: []string{"spec.namespaces.blockWhileHolding"}},
		"account incomplete": {profile: profileWith("namespace: billing-system, ", ""), wantErr: []string{"spec.operators[0].serviceAccounts[0].namespace"}},
		"wrong type":         {profile: profileWith("mode: enforce", "mode: 5"), wantErr: []string{"spec.mode"}},
		"not YAML":           {profile: "a: b: c", wantErr: []string{"YAML"}},
		"empty":              {profile: "# nothing\n", wantErr: []string{"no GuardProfile"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tc.profile))
			if len(tc.wantErr) == 0 {
				if err != nil {
					t.Fatalf("Parse() = %v, want no error", err)
				}
				return
			}
			for _, want := range tc.wantErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Parse() error = %v, want it to hold %q", err, want)
				}
			}
		})
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte(profileWith("mode: enforce", "mode: strict")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := File(bad); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "spec.mode") {
		t.Errorf("File(bad) = %v, want the file's and the field's name", err)
	}
	if _, err := File(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("File(missing) gives no error")
	}
}

func TestBuiltin(t *testing.T) {
	t.Parallel()
	for _, name := range BuiltinNames() {
		p, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name {
			t.Errorf("built-in profile %q calls itself %q", name, p.Name)
		}
	}
	if _, err := Builtin("oracle"); err == nil || !strings.Contains(err.Error(), "nuodb") {
		t.Errorf("Builtin(oracle) = %v, want the names that exist", err)
	}
}

// The direct reference paths of the NuoDB Control Plane's CRD reference.
func TestNuoDBReferences(t *testing.T) {
	t.Parallel()
	p, err := Builtin("nuodb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, g := range set.Resources() {
		for _, ref := range g.ReferencedBy {
			got[g.Resource.String()] = append(got[g.Resource.String()], ref.Resource.String()+" "+ref.Path.String())
		}
		if g.Snapshot != v1alpha1.SnapshotRequired || !g.Restore.Status || g.Mode != v1alpha1.ModeEnforce {
			t.Errorf("%s: snapshot %s, status %v, mode %s", g.Resource, g.Snapshot, g.Restore.Status, g.Mode)
		}
	}
	want := map[string][]string{
		"helmfeatures.cp.nuodb.com": {
			"databases.cp.nuodb.com {.spec.type.tierRef.featureOverrides[*]}",
			"domains.cp.nuodb.com {.spec.type.tierRef.featureOverrides[*]}",
			"servicetiers.cp.nuodb.com {.spec.features[*]}",
		},
		"servicetiers.cp.nuodb.com": {
			"databases.cp.nuodb.com {.spec.type.tierRef}",
			"domains.cp.nuodb.com {.spec.type.tierRef}",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	feature, _ := set.RestoreOptions(schema.ParseGroupResource("helmfeatures.cp.nuodb.com"))
	tier, _ := set.RestoreOptions(schema.ParseGroupResource("servicetiers.cp.nuodb.com"))
	if feature.Order >= tier.Order {
		t.Errorf("features (order %d) are not restored before tiers (order %d)", feature.Order, tier.Order)
	}
}

func TestNewSet(t *testing.T) {
	t.Parallel()
	parse := func(text string) *v1alpha1.GuardProfile {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p[0]
	}
	one, renamed := parse(profileWith("", "")), parse(profileWith("name: example", "name: other"))
	other := parse(strings.ReplaceAll(profileWith("name: example", "name: other"), "plans.billing", "rates.billing"))
	changed := parse(profileWith("snapshot: required", "snapshot: none"))

	if _, err := NewSet(one, one); err == nil || !strings.Contains(err.Error(), `called "example"`) {
		t.Errorf("two profiles of one name: %v", err)
	}
	if _, err := NewSet(one, renamed); err == nil || !strings.Contains(err.Error(), "plans.billing.example") {
		t.Errorf("one resource in two profiles: %v", err)
	}
	digest := func(ps ...*v1alpha1.GuardProfile) string {
		s, err := NewSet(ps...)
		if err != nil {
			t.Fatal(err)
		}
		return s.Digest()
	}
	if digest(one, other) != digest(other, one) {
		t.Error("the digest depends on the order of the profiles")
	}
	if digest(one) == digest(changed) || digest(one) == digest(one, other) {
		t.Error("the digest does not tell different profiles apart")
	}
	set, err := NewSet(changed)
	if err != nil {
		t.Fatal(err)
	}
	g, ok := set.Guarded(schema.GroupResource{Group: "billing.example", Resource: "plans"})
	if !ok || g.Snapshot != v1alpha1.SnapshotNone || g.Profile != "example" {
		t.Errorf("Guarded(plans) = %+v, %v", g, ok)
	}
	if _, ok := set.Guarded(schema.GroupResource{Group: "other.example", Resource: "plans"}); ok {
		t.Error("the group does not count")
	}
}
