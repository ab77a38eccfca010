// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the webhook did. Its labels come from closed sets.
type Metrics struct {
	answers   *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	snapshots *prometheus.CounterVec
	strays    prometheus.Counter
	dangling  prometheus.Counter
}

// NewMetrics registers the metrics with r, which may be nil in tests.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_admission_answers_total",
			Help: "Answers to deletions of guarded objects, by rule (none when no rule refused), verdict (allow, deny, warn, audit, approved, paused, undecided) and whether it was a dry-run (true, false).",
		}, []string{"rule", "verdict", "dry_run"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "holdfast_admission_seconds",
			Help:    "Time until a deletion was answered, by verdict.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"verdict"}),
		snapshots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_admission_snapshots_total",
			Help: "Snapshots taken before a deletion was answered, by outcome (saved, failed).",
		}, []string{"outcome"}),
		strays: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_admission_strays_total",
			Help: "Requests about resources that no profile of this replica names. Only during an update are any sent.",
		}),
		dangling: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_dangling_warnings_total",
			Help: "Warnings about references to guarded objects that are missing or being deleted.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.answers, m.seconds, m.snapshots, m.strays, m.dangling} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) answered(o outcome, dryRun bool, took time.Duration) {
	rule := o.rule
	if rule == "" {
		rule = "none"
	}
	m.answers.WithLabelValues(rule, o.verdict, strconv.FormatBool(dryRun)).Inc()
	m.seconds.WithLabelValues(o.verdict).Observe(took.Seconds())
}

func (m *Metrics) saved(err error) {
	outcome := "saved"
	if err != nil {
		outcome = "failed"
	}
	m.snapshots.WithLabelValues(outcome).Inc()
}
