// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Operators answers how things stand with the operators of profiles, as of now.
type Operators interface {
	// Of finds the operator's installation. An error means that nothing can be
	// said about it.
	Of(ctx context.Context, op *profile.Operator) (OperatorState, error)
	// Going tells whether the definition of gr is being deleted.
	Going(ctx context.Context, gr schema.GroupResource) (bool, error)
}

// OperatorRecaller is an Operators that also tells the users of an operator as
// they were last seen. That is enough to know an operator by; that somebody is
// none is only said as of now.
type OperatorRecaller interface {
	Recall(op *profile.Operator) []string
}

// isOperator tells whether user is one of those of op.
func isOperator(ctx context.Context, operators Operators, op *profile.Operator, user string) (bool, error) {
	if known, ok := operators.(OperatorRecaller); ok && slices.Contains(known.Recall(op), user) {
		return true, nil
	}
	state, err := operators.Of(ctx, op)
	return slices.Contains(state.Users, user), err
}

// OperatorState is how things stand with an operator.
type OperatorState struct {
	// Away says why it does not do its work, such as "Deployment ops/flow does
	// not exist"; it is empty while the operator is there.
	Away string
	// Users are the names under which it makes requests, sorted.
	Users []string
}

// Operator refuses the deletion of an object whose operator is not there to
// clean up after it, or whose definition is being deleted.
type Operator struct {
	Operators Operators
	Profiles  *profile.Set
}

// Check implements Rule.
func (c Operator) Check(ctx context.Context, r Request) (Verdict, error) {
	gr, target := r.Guarded.Resource, r.Target()
	required := c.Profiles.RequiredFor(gr)
	if len(required) == 0 {
		return Verdict{}, nil
	}
	going, err := c.Operators.Going(ctx, gr)
	if err != nil {
		return Verdict{}, fmt.Errorf("look up the definition of %s: %w", target, err)
	}
	if going {
		definition := Target{Resource: profile.CRDResource(), Kind: "CustomResourceDefinition", Name: gr.String()}
		return Verdict{
			Denied: true, Rule: "operator", Causes: []Cause{{Object: definition.String()}},
			Message: fmt.Sprintf("%s is being deleted, so %s could not be created again, and its operator may be gone. It was not deleted. "+
				"First let that deletion end and install the operator again with its definitions, then delete it. %s", definition, target, closing(target, v1alpha1.OperationDelete)),
		}, nil
	}
	for _, op := range required {
		state, err := c.Operators.Of(ctx, op)
		if err != nil {
			return Verdict{}, fmt.Errorf("look up the operator of %s: %w", target, err)
		}
		if state.Away == "" {
			continue
		}
		return Verdict{
			Denied: true, Rule: "operator", Causes: []Cause{{Object: state.Away}},
			Message: fmt.Sprintf("the operator of %s is away: %s. Nobody would clean up after it now, and an operator that comes later would finish the deletion at once, with the data. It was not deleted. "+
				"First bring the operator back, then delete it again. %s", target, state.Away, closing(target, v1alpha1.OperationDelete)),
		}, nil
	}
	return Verdict{}, nil
}
