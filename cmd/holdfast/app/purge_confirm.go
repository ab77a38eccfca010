// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

// agree shows the plan and has it confirmed.
func (o *purgeInterfaceOptions) agree(ctx context.Context, plan *purge.Plan) error {
	role := o.options.Shard.Role
	if role == purge.RoleSweep || role == purge.RoleFinish {
		return nil
	}
	if err := printPlanTable(o.streams.ErrOut, plan); err != nil {
		return err
	}
	if err := plan.CheckAllowed(o.options.Allowed); err != nil {
		return err
	}
	if o.confirm != "" {
		if o.confirm != plan.Digest {
			return fmt.Errorf("%w: it is %s, and --confirm was %s; read the plan above, then use its digest", purge.ErrDigest, plan.Digest, o.confirm)
		}
		return nil
	}
	if _, err := fmt.Fprintln(o.streams.ErrOut); err != nil {
		return err
	}
	confirm := confirmation{streams: o.streams}
	return confirm.typed(ctx, "purge it", plan.Confirm, "--confirm "+plan.Digest)
}
