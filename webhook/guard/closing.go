// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// closing ends a refusal: how the operation is let pass all the same, and how to
// see everything that stands against it.
func closing(target Target, operation v1alpha1.ApprovedOperation) string {
	option := ""
	if operation != v1alpha1.OperationDelete {
		option = " --operation " + string(operation)
	}
	return fmt.Sprintf("If it must go all the same: %s%s --reason TEXT. See all: %s",
		command("approve", target), option, command("explain", target))
}

// command is one of Holdfast's about target.
func command(verb string, target Target) string {
	text := fmt.Sprintf("holdfast %s %s %s", verb, target.Resource, target.Name)
	if target.Namespace != "" {
		text += " -n " + target.Namespace
	}
	return text
}
