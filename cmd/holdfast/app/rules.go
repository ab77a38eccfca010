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

// facts are what the rules ask about.
type facts struct {
	who       guard.Usage
	live      *instances.Live
	operators guard.Operators
	saved     guard.Saved
}

// newRules are the rules that decide about deletions, for the server and for
// whoever asks what the server would answer.
func newRules(set *profile.Set, f facts) []guard.Rule {
	return append(inUseRules(set, f),
		guard.Recoverable{},
		guard.Operator{Operators: f.operators, Profiles: set},
		guard.DeniedDelete{Operators: f.operators, Contents: f.live, Profiles: set},
	)
}

// newFinalizers is the rule for the removal of finalizers.
func newFinalizers(set *profile.Set, f facts) guard.Rule {
	return guard.Finalizers{Operators: f.operators, Saved: f.saved, Profiles: set, Use: inUseRules(set, f)}
}

// inUseRules are those by which something counts as in use.
func inUseRules(set *profile.Set, f facts) []guard.Rule {
	inUse := guard.InUse{Usage: f.who, Profiles: set}
	return []guard.Rule{
		inUse,
		guard.CRD{Instances: f.live, Profiles: set},
		guard.Namespace{Contents: f.live, InUse: inUse, Profiles: set},
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
