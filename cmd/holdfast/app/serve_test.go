// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const testProfile = "apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: billing}\nspec:\n  resources:\n  - resource: plans.billing.example\n"

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testKubeconfig(t *testing.T) string {
	t.Helper()
	return writeFile(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: https://127.0.0.1:1}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
}

func TestServeInput(t *testing.T) {
	t.Parallel()
	good, bad := writeFile(t, "good.yaml", testProfile), writeFile(t, "bad.yaml", strings.Replace(testProfile, "resources", "resourcen", 1))
	kubeconfig := testKubeconfig(t)
	for name, tc := range map[string]struct {
		args     []string
		wantCode int
		wantText string
	}{
		"built-in profile":      {args: []string{"--profiles", "nuodb"}},
		"profile file":          {args: []string{"--profile-file", good}},
		"both":                  {args: []string{"--profiles=nuodb", "--profile-file=" + good, "--webhook-url=https://127.0.0.1:9443"}},
		"nothing to guard":      {wantCode: 2, wantText: "nothing would be guarded"},
		"unknown profile":       {args: []string{"--profiles", "oracle"}, wantCode: 2, wantText: `"oracle"; there are: `},
		"unknown field":         {args: []string{"--profile-file", bad}, wantCode: 2, wantText: `unknown field "spec.resourcen"`},
		"missing file":          {args: []string{"--profile-file", "none.yaml"}, wantCode: 2, wantText: "none.yaml"},
		"profile twice":         {args: []string{"--profile-file", good, "--profile-file", good}, wantCode: 2, wantText: `two profiles are called "billing"`},
		"port out of range":     {args: []string{"--profiles=nuodb", "--port=70000"}, wantCode: 2, wantText: "--port 70000"},
		"port no number":        {args: []string{"--port=x"}, wantCode: 2, wantText: "--port"},
		"URL without TLS":       {args: []string{"--profiles=nuodb", "--webhook-url=http://127.0.0.1"}, wantCode: 2, wantText: "https://HOST:PORT"},
		"bad namespace":         {args: []string{"--profiles=nuodb", "--namespace=Not_A_Name"}, wantCode: 2, wantText: "--namespace"},
		"bad service":           {args: []string{"--profiles=nuodb", "--service-name=1x"}, wantCode: 2, wantText: "--service-name"},
		"negative verbosity":    {args: []string{"--profiles=nuodb", "--verbosity=-1"}, wantCode: 2, wantText: "--verbosity"},
		"negative versions":     {args: []string{"--profiles=nuodb", "--keep-versions=-1"}, wantCode: 2, wantText: "--keep-versions"},
		"bytes that are none":   {args: []string{"--profiles=nuodb", "--keep-bytes=much"}, wantCode: 2, wantText: "--keep-bytes"},
		"pruning all the time":  {args: []string{"--profiles=nuodb", "--prune-every=0"}, wantCode: 2, wantText: "--prune-every"},
		"negative drain":        {args: []string{"--profiles=nuodb", "--drain=-1s"}, wantCode: 2, wantText: "--drain"},
		"unknown flag":          {args: []string{"--profile=nuodb"}, wantCode: 2, wantText: "unknown flag"},
		"stray word":            {args: []string{"--profiles=nuodb", "now"}, wantCode: 2, wantText: "now"},
		"unknown context":       {args: []string{"--profiles=nuodb", "--context=other"}, wantCode: 2, wantText: "other"},
		"unreadable kubefile":   {args: []string{"--profiles=nuodb", "--kubeconfig=" + writeFile(t, "k", "{")}, wantCode: 1, wantText: "kubeconfig"},
		"failure while running": {args: []string{"--profiles=nuodb", "--health-probe-bind-address=fail"}, wantCode: 1, wantText: "port is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			streams := genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &bytes.Buffer{}, ErrOut: &stderr}
			ran := false
			cmd := newServeCmd(streams, func(_ context.Context, o *serveOptions) error {
				ran = true
				if o.health == "fail" {
					return errors.New("port is taken")
				}
				return nil
			})
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			cmd.SetFlagErrorFunc(flagError)
			args := tc.args
			if !strings.Contains(strings.Join(args, " "), "--kubeconfig") {
				args = append([]string{"--kubeconfig", kubeconfig}, args...)
			}
			cmd.SetArgs(args)
			err := cmd.ExecuteContext(t.Context())
			if exitCode(err) != tc.wantCode {
				t.Errorf("exit code %d, want %d: %v", exitCode(err), tc.wantCode, err)
			}
			if tc.wantText != "" && (err == nil || !strings.Contains(oneLine(err), tc.wantText)) {
				t.Errorf("error = %v, want it to hold %q", err, tc.wantText)
			}
			if want := tc.wantCode == 0 || tc.wantText == "port is taken"; ran != want {
				t.Errorf("ran: %v, want %v", ran, want)
			}
		})
	}
}

// What a replica that runs with other profiles must not let through.
func TestForeign(t *testing.T) {
	t.Parallel()
	ask := foreign("abc")
	gr := schema.GroupResource{Group: "billing.example", Resource: "plans"}
	if err := ask(context.WithValue(t.Context(), digestKey{}, "abc"), gr); err != nil {
		t.Errorf("own registration: %v", err)
	}
	for _, ctx := range []context.Context{t.Context(), context.WithValue(t.Context(), digestKey{}, "def")} {
		if ask(ctx, gr) == nil {
			t.Error("a registration of other profiles is let through")
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args string
		want int
		text string
	}{
		{"", 0, ""},
		{"recovery", 0, ""},
		{"sreve", 2, "did you mean 'holdfast serve'"},
		{"recovery lst", 2, "did you mean 'holdfast recovery list'"},
		{"recovery nonsense", 2, `unknown command "nonsense"`},
		{"--nonsense", 2, "unknown flag"},
		{"version now", 2, "now"},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), strings.Fields(tc.args), genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &stdout, ErrOut: &stderr})
		if code != tc.want || !strings.Contains(stderr.String(), tc.text) {
			t.Errorf("holdfast %s: exit code %d, stderr %q", tc.args, code, stderr.String())
		}
		if diff := cmp.Diff(tc.want != 0, strings.Count(stderr.String(), "\n") == 1); diff != "" {
			t.Errorf("holdfast %s: an error is one line, no error none: %q", tc.args, stderr.String())
		}
	}
}
