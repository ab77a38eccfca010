// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package observability holds the alert rules and the dashboard to the metrics
// that the code has, and the page about the metrics to all three.
package observability

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// metric is one that the code has.
type metric struct {
	help   string
	labels []string
}

var (
	definition = regexp.MustCompile(`Name:\s+"(holdfast_[a-z_]+)",\s+Help:\s+"([^"]*)",(?:\s+Buckets:.*)?\s+\}(?:, \[\]string\{([^}]*)\})?`)
	mention    = regexp.MustCompile(`holdfast_[a-z_]+`)
	selector   = regexp.MustCompile(`(holdfast_[a-z_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)=~?"([^"]*)"`)
)

// metrics are those of all packages.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // the files of this repository
		if err != nil {
			return err
		}
		for _, m := range definition.FindAllStringSubmatch(string(text), -1) {
			all[m[1]] = metric{help: m[2], labels: strings.FieldsFunc(m[3], func(r rune) bool { return strings.ContainsRune(`", `, r) })}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d metrics found in the code: %v", len(all), all)
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// find is the metric that name, perhaps of a part of a histogram, belongs to.
func find(all map[string]metric, name string) (metric, bool) {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if m, ok := all[strings.TrimSuffix(name, suffix)]; ok {
			return m, true
		}
	}
	return metric{}, false
}

// checkExpression fails the test for what an expression names and is not there.
func checkExpression(t *testing.T, all map[string]metric, where, expr string) {
	t.Helper()
	for _, name := range mention.FindAllString(expr, -1) {
		if _, ok := find(all, name); !ok {
			t.Errorf("%s: no metric %s in the code", where, name)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		m, _ := find(all, s[1])
		for _, pair := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(m.labels, pair[1]) {
				t.Errorf("%s: metric %s has no label %s", where, s[1], pair[1])
			}
			for value := range strings.SplitSeq(pair[2], "|") {
				if !regexp.MustCompile(`\b` + regexp.QuoteMeta(value) + `\b`).MatchString(m.help) {
					t.Errorf("%s: %s of metric %s is never %q, by its help: %s", where, pair[1], s[1], value, m.help)
				}
			}
		}
	}
	for open, closed := range map[string]string{"(": ")", "{": "}", "[": "]"} {
		if strings.Count(expr, open) != strings.Count(expr, closed) {
			t.Errorf("%s: %s and %s do not match in %s", where, open, closed, expr)
		}
	}
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	all, seen := metrics(t), map[string]bool{}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			if !strings.HasPrefix(r.Alert, "Holdfast") || seen[r.Alert] {
				t.Errorf("alert %q: its name is taken or not Holdfast's", r.Alert)
			}
			seen[r.Alert] = true
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("alert %s: severity %q", r.Alert, r.Labels["severity"])
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("alert %s does not say what to do", r.Alert)
			}
			checkExpression(t, all, "alert "+r.Alert, r.Expr)
		}
	}
	for _, want := range []string{"HoldfastUnreachable", "HoldfastUndecided", "HoldfastSnapshotsFail"} {
		if !seen[want] {
			t.Errorf("no alert %s", want)
		}
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	all, ids, shown := metrics(t), map[int]bool{}, map[string]bool{}
	for _, p := range dashboard.Panels {
		if p.Title == "" || ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, no number of its own or no query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkExpression(t, all, "panel "+p.Title, target.Expr)
			for _, name := range mention.FindAllString(target.Expr, -1) {
				shown[name] = true
			}
		}
	}
	if len(shown) < 8 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

// The page has a row for each metric, with all of its labels, and for nothing else.
func TestPage(t *testing.T) {
	t.Parallel()
	all, rows := metrics(t), map[string][]string{}
	for line := range strings.Lines(read(t, filepath.Join(root, "docs", "metrics.md"))) {
		cells := strings.Split(line, "|")
		if name := mention.FindString(line); len(cells) == 5 && strings.TrimSpace(cells[1]) == "`"+name+"`" {
			rows[name] = strings.FieldsFunc(cells[2], func(r rune) bool { return strings.ContainsRune("`, –", r) })
		}
	}
	for name, m := range all {
		labels, ok := rows[name]
		if !ok || !slices.Equal(labels, m.labels) {
			t.Errorf("metric %s with labels %v: the page has labels %v (a row: %v)", name, m.labels, labels, ok)
		}
	}
	for name := range rows {
		if _, ok := all[name]; !ok {
			t.Errorf("the page has metric %s, which the code has not", name)
		}
	}
}
