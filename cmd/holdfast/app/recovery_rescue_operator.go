// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/helmrelease"
	"github.com/holdfast-dev/holdfast/recovery/rescue"
)

// operatorRelease brings an operator back from its saved Helm release; one that
// is not Helm's, or was not saved, is for somebody to bring back by hand.
type operatorRelease struct {
	run  *recoveryRun
	tell func(rescue.Event)
	hand rescue.ByHand
}

// plan is that of the release; nil if it has to be brought back by hand.
func (o *operatorRelease) plan(ctx context.Context, key release.Key) (*cluster, *helmrelease.Plan, error) {
	if key.Name == "" {
		return nil, nil, nil
	}
	// Anew, for what the API server serves changes in a rescue.
	c, err := o.run.flags.connect(o.run.streams.ErrOut)
	if err != nil {
		return nil, nil, err
	}
	plan, err := c.planRelease(ctx, key)
	if errors.Is(err, helmrelease.ErrUnknown) {
		return c, nil, nil
	}
	return c, plan, err
}

// Steps implements rescue.Operator.
func (o *operatorRelease) Steps(ctx context.Context, key release.Key) ([]string, error) {
	_, plan, err := o.plan(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case plan == nil:
		return o.hand.Steps(ctx, key)
	case plan.Refused != "":
		steps, err := o.hand.Steps(ctx, key)
		return append([]string{fmt.Sprintf("Helm release %s cannot be brought back by this command: %s", key, plan.Refused)}, steps...), err
	}
	return []string{fmt.Sprintf("bring back its operator: Helm release %s, revision %d (%s), with its %s as they were stored", key, plan.Revision, dash(plan.Chart), objects(len(plan.Objects)))}, nil
}

// BringBack implements rescue.Operator.
func (o *operatorRelease) BringBack(ctx context.Context, key release.Key) error {
	c, plan, err := o.plan(ctx, key)
	switch {
	case err != nil:
		return err
	case plan == nil || plan.Refused != "":
		return o.hand.BringBack(ctx, key)
	}
	return c.helm().Apply(ctx, plan, func(p helmrelease.Progress) {
		o.tell(rescue.Event{Step: "operator", Text: p.String(), Waited: p.For})
	})
}
