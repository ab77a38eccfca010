// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart with the real Helm 3 and Helm 4.
package chart

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

var update = flag.Bool("update", false, "write the golden files anew")

// bothHelms are the paths of Helm 3 and Helm 4 by name.
func bothHelms(t *testing.T) map[string]string {
	t.Helper()
	bin, err := controlplane.Binaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"helm3": filepath.Join(bin, "helm3"), "helm4": filepath.Join(bin, "helm4")}
}

// helm runs a Helm that shares nothing with the user's own.
func helm(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func template(t *testing.T, path string, values ...string) (string, error) {
	t.Helper()
	// The version that a template is told when there is no cluster differs.
	args := []string{"template", "holdfast", "holdfast", "--namespace", "holdfast-system", "--kube-version", "1.30.0"}
	return helm(t, path, append(args, values...)...)
}

func TestRendered(t *testing.T) {
	t.Parallel()
	helms := bothHelms(t)
	for golden, values := range map[string][]string{
		"default.yaml":     nil,
		"webhook-url.yaml": {"--set", "webhookURL=https://127.0.0.1:9443"},
		"everything.yaml":  {"--values", "testdata/everything.values.yaml"},
		"astarte.yaml":     {"--set", "profiles={astarte},allSecrets=true"},
	} {
		t.Run(golden, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", golden)
			if *update {
				text, err := template(t, helms["helm4"], values...)
				if err != nil {
					t.Fatalf("render: %v: %s", err, text)
				}
				if err := os.WriteFile(file, []byte(tidy(text)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for name, path := range helms {
				got, err := template(t, path, values...)
				if err != nil {
					t.Fatalf("render with %s: %v: %s", name, err, got)
				}
				if diff := cmp.Diff(string(want), tidy(got)); diff != "" {
					t.Errorf("rendered with %s (-want +got; go test ./config/chart -update writes it anew):\n%s", name, diff)
				}
			}
		})
	}
}

// tidy takes out what differs between Helm 3 and Helm 4: empty lines.
func tidy(text string) string {
	return regexp.MustCompile(`\n{2,}`).ReplaceAllString(strings.TrimSpace(text), "\n") + "\n"
}

func TestLint(t *testing.T) {
	t.Parallel()
	for name, path := range bothHelms(t) {
		if out, err := helm(t, path, "lint", "holdfast", "--strict"); err != nil {
			t.Errorf("%s lint: %v: %s", name, err, out)
		}
	}
}

func TestRefusedValues(t *testing.T) {
	t.Parallel()
	helms := bothHelms(t)
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"no profile, so nothing would be guarded": {
			values: []string{"--set", "profiles=null"},
			want:   "no profile is switched on, so nothing would be guarded: set profiles or profileFiles",
		},
		"a value that does not exist": {
			values: []string{"--set", "replica=3"},
			want:   "replica",
		},
		"no replicas": {
			values: []string{"--set", "replicas=0"},
			want:   "/replicas",
		},
		"a URL that the API server would not take": {
			values: []string{"--set", "webhookURL=http://127.0.0.1:9443"},
			want:   "/webhookURL",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for helmName, path := range helms {
				out, err := template(t, path, c.values...)
				if err == nil {
					t.Errorf("%s rendered it", helmName)
				}
				// Helm 3 writes paths with dots.
				if !strings.Contains(out, c.want) && !strings.Contains(out, strings.TrimPrefix(c.want, "/")) {
					t.Errorf("%s says %q, want %q in it", helmName, out, c.want)
				}
			}
		})
	}
}

// object is what the tests below look at.
type object struct {
	Kind     string
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Rules   []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
	RoleRef struct{ Name string }
}

func objects(t *testing.T, rendered string) []object {
	t.Helper()
	var all []object
	for _, text := range strings.Split(rendered, "\n---") {
		var o object
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("read %s: %v", text, err)
		}
		if o.Kind != "" {
			all = append(all, o)
		}
	}
	return all
}

func TestRights(t *testing.T) {
	t.Parallel()
	rendered, err := template(t, bothHelms(t)["helm4"], "--values", "testdata/everything.values.yaml")
	if err != nil {
		t.Fatalf("render: %v: %s", err, rendered)
	}
	rules := 0
	people := []string{"holdfast-approver", "holdfast-pauser"}
	for _, o := range objects(t, rendered) {
		for annotation := range o.Metadata.Annotations {
			if strings.HasPrefix(annotation, "helm.sh/hook") {
				t.Errorf("%s %s is a hook: it would be left behind", o.Kind, o.Metadata.Name)
			}
		}
		if o.Kind == "ClusterRoleBinding" && slices.Contains(people, o.RoleRef.Name) {
			t.Errorf("%s binds somebody to a role for people", o.Metadata.Name)
		}
		for _, r := range o.Rules {
			if slices.Contains(people, o.Metadata.Name) {
				continue
			}
			rules++
			// In resourceNames it is no wildcard, but a name that no object has.
			if all := slices.Concat(r.APIGroups, r.Resources, r.Verbs); slices.Contains(all, "*") {
				t.Errorf("%s %s grants a wildcard: %v", o.Kind, o.Metadata.Name, r)
			}
			// Old snapshots are all that is ever deleted, in Holdfast's own namespace.
			snapshots := o.Kind == "Role" && slices.Equal(r.Resources, []string{"secrets"})
			if slices.Contains(r.Verbs, "delete") && !snapshots || slices.Contains(r.Verbs, "deletecollection") {
				t.Errorf("%s %s may delete: %v", o.Kind, o.Metadata.Name, r)
			}
		}
	}
	// The chart without the built-in profile has one rule less.
	const want = 22
	if rules != want {
		t.Errorf("%d rules, want %d", rules, want)
	}
}

func TestRulesSayWhy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"clusterrole.yaml", "role.yaml", "releases.yaml", "secrets.yaml"} {
		text, err := os.ReadFile(filepath.Join("holdfast", "templates", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "- apiGroups:") && !strings.HasPrefix(lines[i-1], "# ") {
				t.Errorf("%s:%d: a rule without a comment that says why", name, i+1)
			}
		}
	}
}

func TestNoRightToNuoDBUnlessGuarded(t *testing.T) {
	t.Parallel()
	rendered, err := template(t, bothHelms(t)["helm4"], "--set", "profiles=null", "--set-string", `profileFiles.billing\.yaml=x`)
	if err != nil {
		t.Fatalf("render: %v: %s", err, rendered)
	}
	for _, o := range objects(t, rendered) {
		for _, r := range o.Rules {
			if slices.Contains(r.APIGroups, "cp.nuodb.com") {
				t.Error("the kinds of profile nuodb may be read, though it is off")
			}
		}
	}
}
