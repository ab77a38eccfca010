// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

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
	if !isTerminal(o.streams.In) {
		return &exitError{exitUnconfirmed, fmt.Errorf("nothing was changed: there is no terminal to ask on; read the plan above, then add --confirm %s", plan.Digest)}
	}
	return o.askName(ctx, plan.Confirm)
}

// askName has the user type the full name: a yes is too quickly typed.
func (o *purgeInterfaceOptions) askName(ctx context.Context, name string) error {
	if _, err := fmt.Fprintf(o.streams.ErrOut, "\nType %s to purge it, anything else to leave it: ", name); err != nil {
		return err
	}
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(o.streams.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case got := <-answer:
		if got != name {
			return &exitError{exitUnconfirmed, fmt.Errorf("nothing was changed: the name typed is not %s", name)}
		}
		return nil
	}
}
