// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// recentFor is how long a change may wait to be in a set before the set does
// not count as recent any more.
const recentFor = time.Minute

// Metrics counts what the recorder did. Its labels come from closed sets.
type Metrics struct {
	versions *prometheus.CounterVec
	sets     *prometheus.CounterVec
	bypasses *prometheus.CounterVec
	guarded  *prometheus.GaugeVec
	without  *prometheus.GaugeVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := nopMetrics()
	for _, c := range []prometheus.Collector{m.versions, m.sets, m.bypasses, m.guarded, m.without} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func nopMetrics() *Metrics {
	return &Metrics{
		versions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_recorder_versions_total",
			Help: "Versions of guarded objects that were seen, by outcome (saved, failed); of these, what was stored already is saved too.",
		}, []string{"outcome"}),
		sets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_recorder_sets_total",
			Help: "Sets that the recorder took, by outcome (saved, failed); of these, what was stored already is saved too.",
		}, []string{"outcome"}),
		bypasses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_bypasses_total",
			Help: "Guarded objects that were removed without Holdfast being asked, by resource. One replica counts each.",
		}, []string{"resource"}),
		guarded: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_guarded_objects",
			Help: "Guarded objects that exist and are to be saved, by resource.",
		}, []string{"resource"}),
		without: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_guarded_objects_without_recent_set",
			Help: "Guarded objects of which there is no complete saved set as they are now or were a minute ago, by resource.",
		}, []string{"resource"}),
	}
}

func outcomeOf(err error) string {
	if err != nil {
		return "failed"
	}
	return "saved"
}

func (m *Metrics) saved(err error)   { m.versions.WithLabelValues(outcomeOf(err)).Inc() }
func (m *Metrics) tookSet(err error) { m.sets.WithLabelValues(outcomeOf(err)).Inc() }
func (m *Metrics) bypassed(gr schema.GroupResource) {
	m.bypasses.WithLabelValues(gr.String()).Inc()
}

// count sets the gauges to what is known.
func (r *Recorder) count() {
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	total, without := map[schema.GroupResource]int{}, map[schema.GroupResource]int{}
	for _, one := range r.roots {
		total[one.Resource]++
		if !one.recent(now) {
			without[one.Resource]++
		}
	}
	for _, g := range r.Profiles.Resources() {
		if g.Snapshot != v1alpha1.SnapshotNone {
			r.Metrics.guarded.WithLabelValues(g.Resource.String()).Set(float64(total[g.Resource]))
			r.Metrics.without.WithLabelValues(g.Resource.String()).Set(float64(without[g.Resource]))
			// There from the start, so that the first one is an increase.
			r.Metrics.bypasses.WithLabelValues(g.Resource.String()).Add(0)
		}
	}
}

// recent tells whether all of the object as it is, or was a moment ago, is saved.
func (r *root) recent(now time.Time) bool {
	switch {
	case len(r.pending) > 0 && r.last == "":
		return false
	case len(r.guarded.Closure) == 0:
		return r.last != ""
	case r.members == nil || !r.complete:
		return false
	default:
		return r.dirtySince.IsZero() || now.Sub(r.dirtySince) < recentFor
	}
}
