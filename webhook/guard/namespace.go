// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Contents answers what a namespace holds, as of now.
type Contents interface {
	// In lists the objects of one guarded resource in a namespace, or in all of
	// them when it is empty, sorted by name. "Not installed" and "not namespaced" mean none.
	In(ctx context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error)
}

// ContentsFunc is a function as Contents.
type ContentsFunc func(ctx context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error)

// In calls f.
func (f ContentsFunc) In(ctx context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error) {
	return f(ctx, namespace, guarded)
}

// Namespace refuses the deletion of a namespace that holds guarded objects:
// those that are in use, or any, as the profile says. Once it has begun, the
// deletion of a namespace can be neither stopped nor undone.
type Namespace struct {
	Contents Contents
	// InUse tells which of them are.
	InUse    InUse
	Profiles *profile.Set
}

// keeper is one object that a namespace may not be deleted for.
type keeper struct {
	target Target
	mode   v1alpha1.Mode
	// users names who uses it; empty when it counts in any case.
	users string
}

// Check implements Rule.
func (c Namespace) Check(ctx context.Context, r Request) (Verdict, error) {
	if r.Guarded.Resource != profile.NamespaceResource() {
		return Verdict{}, nil
	}
	var keepers []keeper
	var undecided error // about what is enforced
	var doubt Verdict   // about what is not
	for _, guarded := range c.Profiles.Resources() {
		if guarded.Holding == v1alpha1.HoldingNever {
			continue
		}
		found, err := c.keepers(ctx, r.Old.GetName(), guarded)
		keepers = append(keepers, found...)
		switch {
		case err == nil:
		case guarded.Mode == v1alpha1.ModeEnforce:
			undecided = cmp.Or(undecided, err)
		default:
			doubt = Verdict{Denied: true, Rule: "namespace", Mode: guarded.Mode, Message: fmt.Sprintf("could not decide whether %s may be deleted: %v", r.Target(), err)}
		}
	}
	if len(keepers) == 0 {
		return doubt, undecided
	}
	v := c.refuse(r.Target(), keepers)
	if v.Mode != v1alpha1.ModeEnforce && undecided != nil {
		return Verdict{}, undecided // what is let pass must not hide what may not be
	}
	return v, nil
}

// keepers lists the objects of one resource for which a namespace is kept. A
// certain one comes back together with the error about another.
func (c Namespace) keepers(ctx context.Context, namespace string, guarded *profile.Guarded) ([]keeper, error) {
	objects, err := c.Contents.In(ctx, namespace, guarded)
	if err != nil {
		return nil, fmt.Errorf("list %s in namespace %s: %w", guarded.Resource, namespace, err)
	}
	var found []keeper
	var doubt error
	for _, object := range objects {
		target := Request{Guarded: guarded, Old: object}.Target()
		if guarded.Holding == v1alpha1.HoldingAny {
			found = append(found, keeper{target: target, mode: guarded.Mode})
			continue
		}
		if len(guarded.ReferencedBy) == 0 {
			continue
		}
		// What is known already is enough to refuse; only to allow must it be proved.
		use := c.InUse.recall(ctx, target)
		if use.Total == 0 {
			if use, err = c.InUse.Usage.Of(ctx, target, shown); err != nil {
				doubt = fmt.Errorf("look up who uses %s: %w", target, err)
				break // the next would meet the same
			}
		}
		if use.Total > 0 {
			found = append(found, keeper{target: target, mode: guarded.Mode, users: users(use)})
		}
	}
	return found, doubt
}

// users names the first user and counts the others.
func users(use Use) string {
	if use.Total == 1 {
		return use.First[0].String()
	}
	return fmt.Sprintf("%s and %d more", use.First[0], use.Total-1)
}

// refuse speaks of those that are guarded most strictly; a namespace is not let
// go for one in audit mode when another is enforced.
func (c Namespace) refuse(target Target, all []keeper) Verdict {
	v := Verdict{Denied: true, Rule: "namespace", Mode: all[0].mode}
	for _, k := range all[1:] {
		if profile.Stricter(k.mode, v.Mode) {
			v.Mode = k.mode
		}
	}
	var texts []string
	total := 0
	for _, k := range all {
		if k.mode != v.Mode {
			continue
		}
		if total++; total > shown {
			continue
		}
		text := k.target.String()
		if k.users != "" {
			text += " (in use by " + k.users + ")"
		}
		texts = append(texts, text)
		v.Causes = append(v.Causes, Cause{Object: k.target.String(), Field: k.users})
	}
	text := strings.Join(texts, ", ")
	if total > shown {
		text += fmt.Sprintf(" and %d more", total-shown)
	}
	objects := count(total, "guarded object")
	v.Message = fmt.Sprintf("%s holds %s: %s. It was not deleted, and nothing in it was touched. First delete or move %s, or what uses %s, then delete it again. %s",
		target, objects, text, them(total), them(total), closing(target, v1alpha1.OperationDelete))
	return v
}

func them(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
