// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// OperatorChart writes into dir a chart that stands in for a version of
// Astarte's operator: its definitions without their conversion webhook, which
// nobody serves here, one object of each kind that an operator consists of, and
// more templates.
func OperatorChart(ctx context.Context, dir, version string, more ...string) error {
	path, err := Testdata(ctx, "astarte", "crds-"+version+".yaml")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	var crds []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &crd.Object); err != nil {
			return fmt.Errorf("write chart: %w", err)
		}
		unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
		out, err := yaml.Marshal(crd.Object)
		if err != nil {
			return fmt.Errorf("write chart: %w", err)
		}
		crds = append(crds, string(out))
	}
	operator, err := Testdata(ctx, "operator", "operator.yaml")
	if err != nil {
		return err
	}
	body, err := os.ReadFile(operator)
	if err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o700); err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	for name, content := range map[string]string{
		"Chart.yaml":              "apiVersion: v2\nname: astarte-operator\nversion: 1.0.0\n",
		"templates/crds.yaml":     strings.Join(crds, "\n---\n"),
		"templates/operator.yaml": string(body),
		"templates/more.yaml":     strings.Join(more, "\n---\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write chart: %w", err)
		}
	}
	return nil
}
