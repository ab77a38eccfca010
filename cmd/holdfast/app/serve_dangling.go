// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"k8s.io/client-go/metadata"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/holdfast-dev/holdfast/webhook"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// danglingTime is below the second after which the API server goes on without
// the warnings.
const danglingTime = 800 * time.Millisecond

// newDangling warns about references that lead to nothing.
func newDangling(o *serveOptions, mgr ctrl.Manager, counts *webhook.Metrics) (*webhook.DanglingHandler, error) {
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(o.restConfig), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	return &webhook.DanglingHandler{
		Rule:    guard.Dangling{Presence: &usage.Targets{Mapper: mgr.GetRESTMapper(), Metadata: meta}, Profiles: o.set},
		Metrics: counts,
		Timeout: danglingTime,
	}, nil
}
