// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"cmp"
	"slices"

	"github.com/holdfast-dev/holdfast/config/release"
)

// latestLife are the revisions of the release that was installed last under its
// name. One that was uninstalled and installed again counts from 1 again; what
// is saved of the earlier one may have higher numbers, and must not come back.
func latestLife(revisions []*release.Revision) []*release.Revision {
	sorted := slices.Clone(revisions)
	slices.SortStableFunc(sorted, func(a, b *release.Revision) int {
		return cmp.Or(a.Secret().CreationTimestamp.Compare(b.Secret().CreationTimestamp.Time), cmp.Compare(a.Number, b.Number))
	})
	first := len(sorted) - 1
	for first > 0 {
		before, after := sorted[first-1], sorted[first]
		// Several versions of one Secret are one revision.
		if before.Number > after.Number || before.Number == after.Number && before.Secret().UID != after.Secret().UID {
			break
		}
		first--
	}
	life := sorted[max(first, 0):]
	slices.SortStableFunc(life, func(a, b *release.Revision) int { return cmp.Compare(a.Number, b.Number) })
	return life
}
