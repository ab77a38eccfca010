// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Pending lists the fields that p sets and that this version checks but does
// not act on yet, so that nobody relies on them unknowingly.
func Pending(p *v1alpha1.GuardProfile) []string {
	var fields []string
	note := func(set bool, field string) {
		if set {
			fields = append(fields, field)
		}
	}
	note(len(p.Spec.Operators) > 0, "spec.operators")
	for i, r := range p.Spec.Resources {
		at := fmt.Sprintf("spec.resources[%d]", i)
		note(len(r.Closure) > 0, at+".closure")
	}
	return fields
}
