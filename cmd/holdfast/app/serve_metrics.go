// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-dev/holdfast/certs"
)

// upkeepMetrics tell how it stands with what the leader keeps right.
type upkeepMetrics struct {
	leads   prometheus.Gauge
	applied prometheus.Counter
}

func newUpkeepMetrics(r prometheus.Registerer, cert *certs.Keeper) (*upkeepMetrics, error) {
	m := &upkeepMetrics{
		leads: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_leads",
			Help: "1 on the replica that keeps what is registered, 0 on the others.",
		}),
		applied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_registration_applied_total",
			Help: "Writes of the webhook configuration: repairs, and changes of the list of namespaces that hold guarded objects.",
		}),
	}
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_certificate_expiry_timestamp_seconds",
		Help: "When the serving certificate expires, 0 when there is none.",
	}, func() float64 {
		served, err := cert.GetCertificate(nil)
		if err != nil || served.Leaf == nil {
			return 0
		}
		return float64(served.Leaf.NotAfter.Unix())
	})
	for _, c := range []prometheus.Collector{m.leads, m.applied, expiry} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
