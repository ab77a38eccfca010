// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Saved answers whether an object has been saved, in any version.
type Saved interface {
	Has(ctx context.Context, gr schema.GroupResource, uid types.UID) (bool, error)
}

// SavedFunc is a function as Saved.
type SavedFunc func(ctx context.Context, gr schema.GroupResource, uid types.UID) (bool, error)

// Has calls f.
func (f SavedFunc) Has(ctx context.Context, gr schema.GroupResource, uid types.UID) (bool, error) {
	return f(ctx, gr, uid)
}

// Finalizers refuses the removal of finalizers from a Terminating object that
// is still in use: with the last of them it is gone, and nobody is asked about
// that again. Its operator may remove them, and the undo of a saved object.
type Finalizers struct {
	Operators Operators
	Saved     Saved
	Profiles  *profile.Set
	// Use are the rules by which an object counts as in use.
	Use []Rule
}

const (
	// notDeleted ends the reason in the messages of those rules.
	notDeleted = ". It was not deleted"
	// unsavedMark is the cause by which an undo that only rehearses knows why
	// it is refused: it saves the object later.
	unsavedMark = "metadata.annotations[" + v1alpha1.UndoMark + "]"
)

// Check implements Rule.
func (c Finalizers) Check(ctx context.Context, r Request) (Verdict, error) {
	if r.New == nil {
		return Verdict{}, nil
	}
	marked := r.Marked()
	if marked {
		saved, err := c.Saved.Has(ctx, r.Guarded.Resource, r.Old.GetUID())
		if err != nil {
			return Verdict{}, fmt.Errorf("look for a snapshot of %s: %w", r.Target(), err)
		}
		if saved {
			return Verdict{}, nil
		}
	}
	own, unknown := c.byOperator(ctx, r)
	if own {
		return Verdict{}, nil
	}
	for _, rule := range c.Use {
		v, err := rule.Check(ctx, r)
		if err != nil {
			return Verdict{}, err
		}
		if !v.Denied {
			continue
		}
		if unknown != nil {
			return Verdict{}, unknown
		}
		v.Rule, v.Message = "finalizers", c.message(r, v.Message, marked)
		if marked {
			v.Causes = append(v.Causes, Cause{Object: "no snapshot", Field: unsavedMark})
		}
		return v, nil
	}
	return Verdict{}, nil
}

// byOperator tells whether the user is an operator of the object. An error
// means that it may be one.
func (c Finalizers) byOperator(ctx context.Context, r Request) (bool, error) {
	if !byServiceAccount(r) || r.Guarded.Resource == profile.CRDResource() {
		return false, nil // the API server alone finalizes definitions
	}
	var unknown error
	for _, op := range c.Profiles.OperatorsOf(r.Guarded.Profile) {
		own, err := isOperator(ctx, c.Operators, op, r.User)
		if own {
			return true, nil
		}
		if err != nil {
			unknown = cmp.Or(unknown, fmt.Errorf("look up whether %s is the operator of %s: %w", r.User, r.Target(), err))
		}
	}
	return false, unknown
}

func byServiceAccount(r Request) bool { return strings.HasPrefix(r.User, "system:serviceaccount:") }

func (c Finalizers) message(r Request, refusal string, marked bool) string {
	target := r.Target()
	because, _, _ := strings.Cut(refusal, notDeleted)
	var b strings.Builder
	b.WriteString(because)
	switch target.Resource {
	case profile.CRDResource():
		b.WriteString(". Its finalizers were not removed: without them it would go, and the instances stay behind where nobody sees them. Let the instances go first. ")
	case profile.NamespaceResource():
		b.WriteString(". Its finalizers were not removed: without them it would go, and what it holds stay behind where nobody sees it. Let that go first. ")
	default:
		fmt.Fprintf(&b, ". Its finalizers were not removed: with the last of them it is gone. Bring it back with: holdfast recovery undo %s %s%s. "+
			"Or, to let it go, first see to it that nobody uses it, then remove them again. ", target.Resource, target.Name, inNamespace(target))
		if byServiceAccount(r) {
			fmt.Fprintf(&b, "If %s is its operator, name it in operators of profile %s. ", r.User, r.Guarded.Profile)
		}
	}
	if marked {
		b.WriteString("The mark of an undo does not help while no snapshot of it exists. ")
	}
	b.WriteString(closing(target, v1alpha1.OperationStripFinalizers))
	return b.String()
}
