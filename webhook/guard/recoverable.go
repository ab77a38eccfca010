// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Recoverable refuses the deletion of an object that could not be brought back,
// by the conditions of its profile. What could be brought back only partly may go.
type Recoverable struct{}

// Check implements Rule.
func (Recoverable) Check(_ context.Context, r Request) (Verdict, error) {
	answer, err := r.Guarded.Recoverable(r.Old)
	if err != nil {
		return Verdict{}, err
	}
	target := r.Target()
	switch answer.Recovery {
	case profile.RecoveryYes:
	case profile.RecoveryPartly: // said by whoever saves it, who knows what could not be
	case profile.RecoveryNo:
		v := Verdict{Denied: true, Rule: "recoverable", Message: fmt.Sprintf(
			"%s could not be brought back after its deletion: %s. It was not deleted. First save what would be lost and change what stands against it, then delete again. %s",
			target, strings.Join(answer.Because, "; "), closing(target, v1alpha1.OperationDelete))}
		for _, because := range answer.Because {
			v.Causes = append(v.Causes, Cause{Object: because})
		}
		return v, nil
	}
	return Verdict{}, nil
}
