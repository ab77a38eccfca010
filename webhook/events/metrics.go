// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package events

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what became of Events.
type Metrics struct {
	events *prometheus.CounterVec
}

const (
	outcomeWritten = "written"
	outcomeDropped = "dropped"
	outcomeFailed  = "failed"
)

// NewMetrics registers the metrics with r, which may be nil in tests.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_events_total",
		Help: "Events about decisions, by outcome (written, dropped because there were too many, failed).",
	}, []string{"outcome"})}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m.events)
}

func (m *Metrics) done(outcome string) { m.events.WithLabelValues(outcome).Inc() }
