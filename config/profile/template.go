// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"errors"
	"fmt"
	"strings"
)

// Template is text in which kubectl JSONPaths in braces stand for what they
// find in an object, such as {.metadata.name}-data.
type Template struct {
	text  string
	parts []templatePart
}

// templatePart is either text or a path.
type templatePart struct {
	text string
	path *Path
}

// ParseTemplate checks text. Without braces it is a constant.
func ParseTemplate(text string) (*Template, error) {
	t := &Template{text: text}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("%q: a closing brace without an opening one", text)
		}
		if before != "" {
			t.parts = append(t.parts, templatePart{text: before})
		}
		if !found {
			break
		}
		inside, left, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q: a brace is not closed", text)
		}
		path, err := ParsePath("{" + inside + "}")
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, templatePart{path: path})
		rest = left
	}
	return t, nil
}

// String is the template as it was written.
func (t *Template) String() string { return t.text }

// Constant says that the template is the same text for every object.
func (t *Template) Constant() bool { return len(t.Texts()) == len(t.parts) }

// Texts are the parts that are the same for every object, in their order.
func (t *Template) Texts() []string {
	var texts []string
	for _, part := range t.parts {
		if part.path == nil {
			texts = append(texts, part.text)
		}
	}
	return texts
}

var errNotOneText = errors.New("a path in it must find exactly one text")

// Fill is the text for object. An error means that a path does not find
// exactly one string there.
func (t *Template) Fill(object map[string]any) (string, error) {
	var filled strings.Builder
	for _, part := range t.parts {
		if part.path == nil {
			filled.WriteString(part.text)
			continue
		}
		values, err := part.path.Find(object)
		if err != nil {
			return "", err
		}
		if len(values) != 1 {
			return "", fmt.Errorf("fill in %q: %w", t.text, errNotOneText)
		}
		value, ok := values[0].(string)
		if !ok || value == "" {
			return "", fmt.Errorf("fill in %q: %w", t.text, errNotOneText)
		}
		filled.WriteString(value)
	}
	return filled.String(), nil
}
