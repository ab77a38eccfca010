// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

//go:embed builtin/*.yaml
var builtin embed.FS

// BuiltinNames lists the profiles that come with Holdfast, sorted.
func BuiltinNames() []string {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		return nil // the folder is embedded: it is there
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Builtin is the built-in profile called name.
func Builtin(name string) (*v1alpha1.GuardProfile, error) {
	if !slices.Contains(BuiltinNames(), name) {
		return nil, fmt.Errorf("no built-in profile %q; there are: %s", name, strings.Join(BuiltinNames(), ", "))
	}
	data, err := builtin.ReadFile("builtin/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("read built-in profile %q: %w", name, err)
	}
	profiles, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("built-in profile %q: %w", name, err)
	}
	return profiles[0], nil
}

// File reads the profiles of a YAML or JSON file.
func File(path string) ([]*v1alpha1.GuardProfile, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	profiles, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("profile file %q: %w", path, err)
	}
	return profiles, nil
}

// Parse reads one or more YAML or JSON documents and checks them. Every error
// names the path of the field that is wrong.
func Parse(data []byte) ([]*v1alpha1.GuardProfile, error) {
	var profiles []*v1alpha1.GuardProfile
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read YAML: %w", err)
		}
		p, err := parseOne(doc)
		if err != nil {
			return nil, err
		}
		if p != nil {
			profiles = append(profiles, p)
		}
	}
	if len(profiles) == 0 {
		return nil, errors.New("it holds no GuardProfile")
	}
	return profiles, nil
}

// parseOne reads one document; an empty one gives nil.
func parseOne(doc []byte) (*v1alpha1.GuardProfile, error) {
	asJSON, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	if string(asJSON) == "null" {
		return nil, nil
	}
	p := &v1alpha1.GuardProfile{}
	strict, err := kjson.UnmarshalStrict(asJSON, p)
	if err != nil {
		return nil, fmt.Errorf("read GuardProfile: %w", err)
	}
	if len(strict) > 0 {
		return nil, errors.Join(strict...)
	}
	if errs := Validate(p); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return p, nil
}
