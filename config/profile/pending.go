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
	for i, o := range p.Spec.Operators {
		note(o.Release != nil, fmt.Sprintf("spec.operators[%d].release, its fence", i))
	}
	return fields
}
