// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// rightsCheck says at the start which referring kinds may not be read. What
// they might refer to cannot be deleted until they may; everything else can.
func rightsCheck(kube kubernetes.Interface, set *profile.Set) func(context.Context) {
	return func(ctx context.Context) {
		for _, gr := range set.Referring() {
			allowed, err := usage.MayList(ctx, kube, gr)
			switch {
			case err != nil:
				ctrl.Log.Error(err, "Right to read a referring kind not known", "resource", gr.String())
			case !allowed:
				ctrl.Log.Info("Profile not ready: a referring kind may not be read, so nothing that it could refer to can be deleted; grant get, list and watch, for instance in a ClusterRole labelled holdfast.dev/aggregate-to-serve=true",
					"resource", gr.String())
			}
		}
	}
}
