// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/profile"
)

var update = flag.Bool("update", false, "write the golden files anew")

func nuodb(t *testing.T) *profile.Set {
	t.Helper()
	return builtin(t, "nuodb")
}

func astarte(t *testing.T) *profile.Set {
	t.Helper()
	return builtin(t, "astarte")
}

func builtin(t *testing.T, name string) *profile.Set {
	t.Helper()
	p, err := profile.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBuild(t *testing.T) {
	t.Parallel()
	none, err := profile.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		set     *profile.Set
		options Options
	}{
		"service": {nuodb(t), Options{Namespace: "holdfast-system", ServiceName: "holdfast", CABundle: []byte("CA"), Owner: &metav1.OwnerReference{
			APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "holdfast", UID: "u-1",
		}}},
		"url":     {nuodb(t), Options{Namespace: "holdfast-system", URL: "https://127.0.0.1:9443/", CABundle: []byte("CA")}},
		"holding": {nuodb(t), Options{Namespace: "holdfast-system", ServiceName: "holdfast", Holding: []string{"mall", "shop"}}},
		"operators": {astarte(t), Options{Namespace: "holdfast-system", ServiceName: "holdfast", Holding: []string{"shop"}, Operators: map[string]Accounts{
			"astarte": {Users: []string{"system:serviceaccount:kube-system:astarte-operator", "system:serviceaccount:ops:helper"}, Known: true},
		}}},
		"no-profiles": {none, Options{Namespace: "holdfast-system", ServiceName: "holdfast"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := Build(tc.set, tc.options)
			// The digest changes with any word of a profile, which is not what is tested here.
			for i := range config.Webhooks {
				hideDigest(&config.Webhooks[i].ClientConfig, tc.set.Digest())
			}
			compareGolden(t, name, config)
		})
	}
}

// hideDigest writes DIGEST for it, where the path has it.
func hideDigest(c *admissionv1.WebhookClientConfig, digest string) {
	if c.URL != nil {
		c.URL = ptr.To(strings.ReplaceAll(*c.URL, digest, "DIGEST"))
	}
	if c.Service != nil && c.Service.Path != nil {
		c.Service.Path = ptr.To(strings.ReplaceAll(*c.Service.Path, digest, "DIGEST"))
	}
}

func TestFencePolicy(t *testing.T) {
	t.Parallel()
	policy := FencePolicy("holdfast-system")
	docs := []any{policy.Policy}
	for _, b := range policy.Bindings {
		docs = append(docs, b)
	}
	compareGolden(t, "fence", docs...)
}

func TestApprovalsPolicy(t *testing.T) {
	t.Parallel()
	p := ApprovalsPolicy()
	compareGolden(t, "approvals", p.Policy, p.Bindings[0])
}

// compareGolden compares documents with those of a golden file.
func compareGolden(t *testing.T, name string, docs ...any) {
	t.Helper()
	var got []byte
	for i, doc := range docs {
		if i > 0 {
			got = append(got, "---\n"...)
		}
		text, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, text...)
	}
	golden := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); 'go test ./webhook/registration -update' writes it anew:\n%s", name, diff)
	}
}

// What makes an entry safe for the rest of the cluster.
func TestBuildBlastRadius(t *testing.T) {
	t.Parallel()
	config := Build(nuodb(t), Options{Namespace: "hf", ServiceName: "holdfast", Holding: []string{"shop"}})
	for _, w := range config.Webhooks {
		if *w.TimeoutSeconds > 5 {
			t.Errorf("%s: timeout of %d s", w.Name, *w.TimeoutSeconds)
		}
		wantEffects := admissionv1.SideEffectClassNoneOnDryRun // it writes snapshots
		if w.Name == "dangling.holdfast.dev" {
			wantEffects = admissionv1.SideEffectClassNone
			if *w.FailurePolicy != admissionv1.Ignore || *w.TimeoutSeconds > 2 {
				t.Errorf("%s: policy %s, timeout %d s: a warning must hold nothing up", w.Name, *w.FailurePolicy, *w.TimeoutSeconds)
			}
		}
		if *w.SideEffects != wantEffects {
			t.Errorf("%s: side effects %s, want %s", w.Name, *w.SideEffects, wantEffects)
		}
		for _, rule := range w.Rules {
			for _, text := range append(rule.Resources, rule.APIGroups...) {
				if text == "*" || text == "*/*" {
					t.Errorf("%s: a rule for everything", w.Name)
				}
			}
			if diff := cmp.Diff([]string{"*"}, rule.APIVersions); diff != "" {
				t.Errorf("%s: a rule for some versions makes the API server convert:\n%s", w.Name, diff)
			}
		}
		if w.Name == "own.holdfast.dev" {
			if got := w.NamespaceSelector.MatchExpressions[0]; got.Operator != "In" || got.Values[0] != "hf" {
				t.Errorf("%s: it takes more than Holdfast's own namespace: %+v", w.Name, got)
			}
			continue
		}
		if got := w.NamespaceSelector.MatchExpressions[0]; got.Operator != "NotIn" || got.Values[0] != "hf" {
			t.Errorf("%s: Holdfast's own namespace is not left out: %+v", w.Name, got)
		}
	}
}

// A reference outside the spec changes without the spec.
func TestBuildDanglingLooks(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"{.spec.plan}": 3, "{.spec['plan']}": 3, "{.special.plan}": 2, "{.metadata.annotations.plan}": 2, "{..plan}": 2} {
		parsed, err := profile.Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: b}\nspec:\n  resources:\n  - resource: plans.billing.example\n    referencedBy: [{resource: configmaps, path: \"" + path + "\"}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		set, err := profile.NewSet(parsed...)
		if err != nil {
			t.Fatal(err)
		}
		config := Build(set, Options{Namespace: "hf", ServiceName: "holdfast"})
		if got := len(config.Webhooks[2].MatchConditions); got != want {
			t.Errorf("%s: %d conditions, want %d", path, got, want)
		}
	}
}
