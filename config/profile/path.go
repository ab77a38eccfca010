// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"fmt"
	"sync"

	"k8s.io/client-go/util/jsonpath"
)

// Path is a checked kubectl JSONPath. It may be used by several goroutines at
// once, which the library's own type may not: it walks with a state of its own.
type Path struct {
	text string
	pool *sync.Pool
}

var errNotOnePath = errors.New("must be one kubectl JSONPath in braces, such as {.spec.planRef} or {.spec.items[*]}")

// ParsePath checks text, which must be a single expression in braces: text
// around it would be a constant, and would silently find nothing.
func ParsePath(text string) (*Path, error) {
	if text == "" {
		return nil, errors.New("must not be empty; " + errNotOnePath.Error())
	}
	parsed, err := jsonpath.Parse("path", text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	if len(parsed.Root.Nodes) != 1 {
		return nil, fmt.Errorf("%q: %w", text, errNotOnePath)
	}
	list, ok := parsed.Root.Nodes[0].(*jsonpath.ListNode)
	if !ok || len(list.Nodes) == 0 {
		return nil, fmt.Errorf("%q: %w", text, errNotOnePath)
	}
	for _, n := range list.Nodes {
		switch n.Type() {
		case jsonpath.NodeIdentifier, jsonpath.NodeText, jsonpath.NodeInt, jsonpath.NodeFloat, jsonpath.NodeBool:
			return nil, fmt.Errorf("%q: %w", text, errNotOnePath)
		case jsonpath.NodeArray, jsonpath.NodeList, jsonpath.NodeField, jsonpath.NodeFilter,
			jsonpath.NodeWildcard, jsonpath.NodeRecursive, jsonpath.NodeUnion:
		}
	}
	return &Path{text: text, pool: &sync.Pool{New: func() any {
		j := jsonpath.New("path").AllowMissingKeys(true)
		if err := j.Parse(text); err != nil {
			return err // not reached: the same text was parsed above
		}
		return j
	}}}, nil
}

// String is the path as it was written.
func (p *Path) String() string { return p.text }

// Find gives the values at the path in object, which is decoded JSON. Absent
// fields give none; a value of an unexpected shape on the way is an error.
func (p *Path) Find(object map[string]any) (values []any, err error) {
	j, ok := p.pool.Get().(*jsonpath.JSONPath)
	if !ok {
		return nil, fmt.Errorf("path %s cannot be read", p.text)
	}
	// The library has panicked on unusual data before; one odd object must not
	// end the process. Its state is unknown then, so it does not return to the pool.
	defer func() {
		if r := recover(); r != nil {
			values, err = nil, fmt.Errorf("evaluate path %s: %v", p.text, r)
		}
	}()
	results, err := j.FindResults(object)
	if err != nil {
		return nil, fmt.Errorf("evaluate path %s: %w", p.text, err)
	}
	for _, set := range results {
		for _, v := range set {
			if v.IsValid() && v.CanInterface() {
				values = append(values, v.Interface())
			}
		}
	}
	p.pool.Put(j)
	return values, nil
}
