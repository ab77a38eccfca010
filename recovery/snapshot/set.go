// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// SetRecord is what is known of a set without reading its payload: the
// snapshots that belong together, an object and what goes with it.
type SetRecord struct {
	// ID names the set; it has the form of a snapshot's.
	ID string `json:"id"`
	// Resource, APIVersion, Kind, Namespace, Name and UID are those of the root:
	// the object whose set it is.
	Resource   string    `json:"resource"`
	APIVersion string    `json:"apiVersion,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Namespace  string    `json:"namespace,omitempty"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid"`
	// Root is the snapshot of the root; empty when the root is not saved
	// itself, as of a namespace.
	Root string `json:"root,omitempty"`
	// TakenAt is when these very members were found together first, LastAt when
	// they were again after something else had been.
	TakenAt time.Time `json:"takenAt"`
	LastAt  time.Time `json:"lastAt"`
	// Operation is what was about to happen, or "record" when nothing was.
	Operation string `json:"operation,omitempty"`
	User      string `json:"user,omitempty"`
	Profile   string `json:"profile,omitempty"`
	// Saved counts the members whose content is saved, the root among them;
	// Named those of which only the name is recorded.
	Saved int `json:"saved"`
	Named int `json:"named"`
	// Complete says that everything that belongs to it could be read and saved.
	Complete bool `json:"complete"`
	// Recoverable is yes, no or partly, and Reasons say why not yes.
	Recoverable string   `json:"recoverable"`
	Reasons     []string `json:"reasons,omitempty"`
	// Problem says why the set cannot be used, if that can be seen without its
	// payload; the other fields may then be empty.
	Problem string `json:"problem,omitempty"`
}

// SetMember is one object of a set.
type SetMember struct {
	Resource  string    `json:"resource"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
	// Snapshot is the ID of its saved version; empty when only its name is recorded.
	Snapshot string `json:"snapshot,omitempty"`
	// Revision is the revision of the root that it pins, if it refers to it.
	Revision string `json:"revision,omitempty"`
}

// Set is a set with its members, verified and sorted; the root is one of them.
type Set struct {
	SetRecord
	Members []SetMember
}

// Path is RESOURCE.GROUP/[NAMESPACE/]NAME/ID of the root and the set.
func (r *SetRecord) Path() string {
	root := Record{ID: r.ID, Resource: r.Resource, Namespace: r.Namespace, Name: r.Name}
	return root.Path()
}

// String names the member as messages do.
func (m SetMember) String() string {
	if m.Namespace == "" {
		return m.Resource + " " + m.Name
	}
	return m.Resource + " " + m.Namespace + "/" + m.Name
}

// NewSet is a set of members with root as its root, ready to be saved. The
// snapshot of root, if there is one, is that of the member with its UID.
func NewSet(gr schema.GroupResource, root SetRecord, members []SetMember) *Set {
	s := &Set{SetRecord: root, Members: slices.Clone(members)}
	s.Resource = gr.String()
	slices.SortFunc(s.Members, compareMembers)
	s.Members = slices.CompactFunc(s.Members, func(a, b SetMember) bool { return compareMembers(a, b) == 0 })
	for _, m := range s.Members {
		if m.Snapshot == "" {
			s.Named++
			continue
		}
		s.Saved++
		if m.UID == root.UID && m.Resource == s.Resource {
			s.Root = m.Snapshot
		}
	}
	return s
}

// compareMembers puts the saved version of an object before its mere name.
func compareMembers(a, b SetMember) int {
	return cmp.Or(
		cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Revision, b.Revision), cmp.Compare(b.Snapshot, a.Snapshot),
	)
}

// content is what makes up the identity of a set: what belongs together, and
// what is known about it, but not when and why it was looked at.
func (s *Set) content() []byte {
	var text []byte
	text = fmt.Appendf(text, "%s %s %s %s %t %s %q\n", s.Resource, s.Namespace, s.Name, s.UID, s.Complete, s.Recoverable, s.Reasons)
	for _, m := range s.Members {
		text = fmt.Appendf(text, "%s %s %s %s %s %s\n", m.Resource, m.Namespace, m.Name, m.UID, m.Snapshot, m.Revision)
	}
	return text
}
