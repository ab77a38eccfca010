// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tells how the index fares. Its labels come from closed sets.
type Metrics struct {
	proofs  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	edges   prometheus.Gauge
	kinds   *prometheus.GaugeVec
}

// NewMetrics registers the metrics with r, which may be nil in tests.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		proofs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_usage_proofs_total",
			Help: "Proofs that no reference is missing, one a kind, by method (definition, list, barrier, selector) and outcome (proved, failed).",
		}, []string{"method", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "holdfast_usage_proof_seconds",
			Help:    "Time that a proof took, by method.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3, 4},
		}, []string{"method"}),
		edges: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_usage_references",
			Help: "References that are known, those of older revisions included.",
		}),
		kinds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_usage_kinds",
			Help: "Referring kinds, by state (unknown, absent, syncing, synced, failing).",
		}, []string{"state"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.proofs, m.seconds, m.edges, m.kinds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) proved(method string, err error, took time.Duration) {
	outcome := "proved"
	if err != nil {
		outcome = "failed"
	}
	m.proofs.WithLabelValues(method, outcome).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}

// stateFailing is that of a kind which cannot be read now, whatever is known of it.
const stateFailing state = "failing"

// count sets how many kinds are in which state.
func (m *Metrics) count(feeds []*feed) {
	states := map[state]int{stateUnknown: 0, stateAbsent: 0, stateSyncing: 0, stateSynced: 0, stateFailing: 0}
	for _, f := range feeds {
		s, failure := f.condition()
		if failure != nil {
			s = stateFailing
		}
		states[s]++
	}
	for s, n := range states {
		m.kinds.WithLabelValues(string(s)).Set(float64(n))
	}
}
