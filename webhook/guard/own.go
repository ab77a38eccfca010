// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// SecretResource is the resource of Secrets, in which snapshots are kept.
func SecretResource() schema.GroupResource { return schema.GroupResource{Resource: "secrets"} }

// Copy is a snapshot that is the latest copy of an object that is gone.
type Copy struct {
	// ID is the snapshot's.
	ID string
	// Of is the object.
	Of Target
	// Set says that it is not the copy itself, but tells what belongs to the object.
	Set bool
}

// Copies answers what would be lost with snapshots.
type Copies interface {
	// Last tells of which object that is gone secret holds the latest copy, a
	// part of it, or the latest set; false if of none.
	Last(ctx context.Context, secret *unstructured.Unstructured) (Copy, bool, error)
	// AllLast are the first few such of all snapshots, and more says that there
	// are further ones.
	AllLast(ctx context.Context, most int) (first []Copy, more bool, err error)
}

// Own refuses the deletion of the latest copy of an object that is gone, and of
// the namespace that holds such copies: nothing else could bring that back.
type Own struct {
	Copies Copies
	// Namespace is Holdfast's own.
	Namespace string
}

// Check implements Rule.
func (c Own) Check(ctx context.Context, r Request) (Verdict, error) {
	target := r.Target()
	switch {
	case r.Guarded.Resource == SecretResource() && target.Namespace == c.Namespace:
		return c.secret(ctx, r)
	case r.Guarded.Resource == profile.NamespaceResource() && target.Name == c.Namespace:
		return c.namespace(ctx, target)
	}
	return Verdict{}, nil
}

func (c Own) secret(ctx context.Context, r Request) (Verdict, error) {
	kept, last, err := c.Copies.Last(ctx, r.Old)
	if err != nil {
		return Verdict{}, fmt.Errorf("find out what would be lost with %s: %w", r.Target(), err)
	}
	if !last {
		return Verdict{}, nil
	}
	holds := fmt.Sprintf("holds the latest copy of %s, which is gone and could not be brought back without it", kept.Of)
	if kept.Set {
		holds = fmt.Sprintf("holds the latest set of %s, which is gone: without it nobody knows what belongs to that", kept.Of)
	}
	return Verdict{
		Denied: true, Rule: "own", Causes: []Cause{{Object: kept.Of.String()}},
		Message: fmt.Sprintf("%s %s. It was not deleted. First bring that back with: holdfast recovery restore %s; or, if it may be lost: %s",
			r.Target(), holds, kept.ID, command("approve", r.Target())+" --reason TEXT"),
	}, nil
}

func (c Own) namespace(ctx context.Context, target Target) (Verdict, error) {
	first, more, err := c.Copies.AllLast(ctx, shown)
	if err != nil {
		return Verdict{}, fmt.Errorf("find out what would be lost with %s: %w", target, err)
	}
	if len(first) == 0 {
		return Verdict{}, nil
	}
	v := Verdict{Denied: true, Rule: "own"}
	var texts []string
	for _, kept := range first {
		texts = append(texts, kept.Of.String())
		v.Causes = append(v.Causes, Cause{Object: kept.Of.String()})
	}
	text := strings.Join(texts, ", ")
	if more {
		text += " and more"
	}
	v.Message = fmt.Sprintf("%s holds the latest copies of objects that are gone and could not be brought back without it: %s. It was not deleted, and nothing in it was touched. First bring them back; list all with: holdfast recovery list; or, if they may be lost: %s",
		target, text, command("approve", target)+" --reason TEXT")
	return v, nil
}
