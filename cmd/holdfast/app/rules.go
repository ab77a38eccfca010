// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/instances"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// newRules are the rules that decide about deletions, for the server and for
// whoever asks what the server would answer.
func newRules(set *profile.Set, who guard.Usage, live *instances.Live) []guard.Rule {
	inUse := guard.InUse{Usage: who, Profiles: set}
	return []guard.Rule{
		inUse,
		guard.Recoverable{},
		guard.CRD{Instances: live, Profiles: set},
		guard.Namespace{Contents: live, InUse: inUse, Profiles: set},
	}
}

// newUsage asks the cluster of config who uses what.
func newUsage(config *rest.Config, set *profile.Set) (guard.Usage, error) {
	return usage.NewLive(config, set)
}

// newIndex follows who uses what in the cluster of config.
func newIndex(config *rest.Config, set *profile.Set, registry prometheus.Registerer) (*usage.Index, error) {
	counts, err := usage.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	options, err := usage.OptionsFor(config, config, set, counts)
	if err != nil {
		return nil, err
	}
	return usage.NewIndex(options), nil
}
