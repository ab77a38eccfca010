// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// Metrics tell how much history there is. Only the leader knows; with the other
// replicas the gauges are 0.
type Metrics struct {
	count, bytes, oldest prometheus.Gauge
	gone, failures       prometheus.Counter
}

// NewMetrics registers the metrics with r, which may be nil in tests.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		count: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_snapshots", Help: "Snapshots that are kept, as of the last round of retention (0 where another replica leads).",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_snapshot_bytes", Help: "Storage that all snapshots take, about (0 where another replica leads).",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_snapshot_oldest_timestamp_seconds", Help: "When the oldest snapshot was saved (0 when there is none, or where another replica leads).",
		}),
		gone: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_snapshots_removed_total", Help: "Snapshots that retention has removed.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_retention_failures_total", Help: "Rounds of retention that failed.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.count, m.bytes, m.oldest, m.gone, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) found(kept snapshot.Retained) {
	if m == nil {
		return
	}
	m.count.Set(float64(kept.Count))
	m.bytes.Set(float64(kept.Bytes))
	m.oldest.Set(0)
	if !kept.Oldest.IsZero() {
		m.oldest.Set(float64(kept.Oldest.Unix()))
	}
}

func (m *Metrics) removed() {
	if m != nil {
		m.gone.Inc()
	}
}

func (m *Metrics) failed() {
	if m != nil {
		m.failures.Inc()
	}
}

// forget says that this replica does not know any more.
func (m *Metrics) forget() { m.found(snapshot.Retained{}) }
