// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/recorder"
)

// recoverability is whether an object could be brought back if it were saved
// now, in words. What belongs to it is looked for with the rights of whoever
// asks. Where there is no telling, it is empty: the rules' answer has the error.
func recoverability(ctx context.Context, c *cluster, set *profile.Set, guarded *profile.Guarded, obj *unstructured.Unstructured) string {
	answer, err := guarded.Recoverable(obj)
	if err != nil {
		return ""
	}
	from, _, err := newReader(c.config, set)
	if err != nil {
		return answer.String()
	}
	taken, err := (&recorder.Sets{Profiles: set, From: from}).Look(ctx, guarded, obj)
	if err != nil {
		return answer.With([]string{"what belongs to it could not be read: " + oneLine(err)}).String()
	}
	return taken.Recoverable.String()
}
