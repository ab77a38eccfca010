// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"slices"
	"time"
)

// State is all that a journal remembers.
type State struct {
	// Operation is what is being done, as "rescue", and Target to what.
	Operation string `json:"operation"`
	Target    string `json:"target"`
	// Command is the command line that finishes it.
	Command string    `json:"command,omitempty"`
	Begun   time.Time `json:"begun"`
	// Ended is when nothing was left to do.
	Ended time.Time `json:"ended,omitzero"`
	// Holder is who is at work, since Since; Seen is its last sign of life. It
	// is empty when the last one stopped in an orderly way.
	Holder Holder    `json:"holder,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	Seen   time.Time `json:"seen,omitzero"`
	// Revision counts the writes.
	Revision int64  `json:"revision"`
	Steps    []Step `json:"steps,omitempty"`
	// Aside is what was changed for the duration.
	Aside []Aside `json:"aside,omitempty"`
	// Data is what the operation has to remember besides; it is dropped at the end.
	Data map[string]json.RawMessage `json:"data,omitempty"`
}

// Step is one step of a recovery.
type Step struct {
	Name  string    `json:"name"`
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended,omitzero"`
}

// Aside is one thing that was changed and is to be put back as it was.
type Aside struct {
	// Resource is RESOURCE.GROUP, Version the one that Before is written in.
	Resource  string `json:"resource"`
	Version   string `json:"version"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// UID is that of the object: another one of its name is not touched.
	UID string `json:"uid,omitempty"`
	// Before is what it was; what of it, is for the operation to know.
	Before json.RawMessage `json:"before"`
	// Back says that it was put back.
	Back bool `json:"back,omitempty"`
}

// same says that a and b are about one object.
func (a *Aside) same(b *Aside) bool {
	return a.Resource == b.Resource && a.Namespace == b.Namespace && a.Name == b.Name && a.UID == b.UID
}

// Open says that there is something left to do.
func (s *State) Open() bool { return s != nil && s.Ended.IsZero() }

// step is the step called name, nil if it has not begun.
func (s *State) step(name string) *Step {
	i := slices.IndexFunc(s.Steps, func(st Step) bool { return st.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Steps[i]
}

// Last is the step that was begun last; empty if none was.
func (s *State) Last() string {
	if len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1].Name
}

func (s *State) clone() *State {
	c := *s
	c.Steps = slices.Clone(s.Steps)
	c.Aside = slices.Clone(s.Aside)
	c.Data = map[string]json.RawMessage{}
	for key, value := range s.Data {
		c.Data[key] = value
	}
	return &c
}
