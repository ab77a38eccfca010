// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// DeniedDelete refuses deletions by an operator itself that its profile does
// not let it make, such as that of a volume with all data.
type DeniedDelete struct {
	Operators Operators
	Contents  Contents
	Profiles  *profile.Set
}

// Check implements Rule.
func (c DeniedDelete) Check(ctx context.Context, r Request) (Verdict, error) {
	if !byServiceAccount(r) {
		return Verdict{}, nil // no operator works under another kind of name
	}
	for _, op := range c.Profiles.Operators() {
		if op.Profile != r.Guarded.Profile {
			continue
		}
		for i := range op.DenyDeletes {
			d := &op.DenyDeletes[i]
			if d.Resource != r.Guarded.Resource || !d.MayName(r.Old.GetName()) {
				continue
			}
			v, err := c.check(ctx, r, op, d)
			if err != nil || v.Denied {
				return v, err
			}
		}
	}
	return Verdict{}, nil
}

func (c DeniedDelete) check(ctx context.Context, r Request, op *profile.Operator, d *profile.DeniedDelete) (Verdict, error) {
	target := r.Target()
	own, err := isOperator(ctx, c.Operators, op, r.User)
	if err != nil {
		return Verdict{}, fmt.Errorf("look up whether %s is an operator that wants to delete %s: %w", r.User, target, err)
	}
	if !own {
		return Verdict{}, nil
	}
	owner, found, err := c.named(ctx, r, d)
	if err != nil || !found {
		return Verdict{}, err
	}
	of := ""
	if owner.Name != "" {
		of = ", which belongs to " + owner.String()
	}
	return Verdict{
		Denied: true, Rule: "denied-delete", Causes: []Cause{{Object: r.User, Field: d.Prefix.String()}},
		Message: fmt.Sprintf("profile %s does not let the operator delete %s%s. It was not deleted, and the operator may go on without it. "+
			"Whoever wants it gone deletes it by hand: kubectl delete %s %s%s", op.Profile, target, of, target.Resource, target.Name, inNamespace(target)),
	}, nil
}

// named finds the guarded object whose name makes the beginning of the target's.
// A constant beginning needs none.
func (c DeniedDelete) named(ctx context.Context, r Request, d *profile.DeniedDelete) (Target, bool, error) {
	if d.Prefix.Constant() {
		return Target{}, true, nil
	}
	for _, guarded := range c.Profiles.Resources() {
		if guarded.Profile != r.Guarded.Profile {
			continue
		}
		objects, err := c.Contents.In(ctx, r.Old.GetNamespace(), guarded)
		if err != nil {
			return Target{}, false, fmt.Errorf("list %s in namespace %s: %w", guarded.Resource, r.Old.GetNamespace(), err)
		}
		for _, object := range objects {
			prefix, err := d.Prefix.Fill(object.Object)
			if err == nil && strings.HasPrefix(r.Old.GetName(), prefix) {
				return Request{Guarded: guarded, Old: object}.Target(), true, nil
			}
		}
	}
	return Target{}, false, nil
}

func inNamespace(target Target) string {
	if target.Namespace == "" {
		return ""
	}
	return " -n " + target.Namespace
}
