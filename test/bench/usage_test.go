// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

const (
	few  = 100
	lots = 100_000
	// version is that of everything in crowd; it never changes.
	version = "1000000"
)

// crowd is an API server with n databases of some 2.5 KB that all use one tier.
// It makes each up as it is asked for, so that what it holds is not measured.
type crowd struct {
	n int
	// pages makes it an older server, which does not stream lists.
	pages bool
}

func (c crowd) database(i int) string {
	return fmt.Sprintf(`{"apiVersion":"cp.nuodb.com/v1beta1","kind":"Database","metadata":{"name":"db%06d","namespace":"ns%d","uid":"u%d","resourceVersion":"%d","annotations":{"note":%q}},`+
		`"spec":{"type":{"tierRef":{"name":"n0.small","namespace":"cp"}},"size":%d}}`, i, i%50, i, i+1, strings.Repeat("x", 2200), i)
}

// ServeHTTP answers what an index asks.
func (c crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	switch {
	case r.URL.Path == "/apis/cp.nuodb.com":
		_, _ = fmt.Fprint(w, `{"kind":"APIGroup","apiVersion":"v1","name":"cp.nuodb.com","versions":[{"groupVersion":"cp.nuodb.com/v1beta1","version":"v1beta1"}]}`)
	case r.URL.Path == "/apis/cp.nuodb.com/v1beta1":
		_, _ = fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","resources":[{"name":"databases","namespaced":true,"kind":"Database","verbs":["list","watch"]}]}`)
	case strings.HasSuffix(r.URL.Path, "/namespaces/holdfast-nothing-here/databases"):
		_, _ = fmt.Fprint(w, `{"kind":"DatabaseList","apiVersion":"cp.nuodb.com/v1beta1","metadata":{"resourceVersion":"`+version+`"},"items":[]}`)
	case strings.HasSuffix(r.URL.Path, "/databases") && query.Get("watch") != "":
		c.stream(w, r)
	case strings.HasSuffix(r.URL.Path, "/databases"):
		c.page(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}
}

func (c crowd) stream(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("sendInitialEvents") != "" {
		if c.pages {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
			return
		}
		for i := range c.n {
			_, _ = fmt.Fprintln(w, `{"type":"ADDED","object":`+c.database(i)+`}`)
		}
	}
	_, _ = fmt.Fprintln(w, `{"type":"BOOKMARK","object":{"apiVersion":"cp.nuodb.com/v1beta1","kind":"Database","metadata":{"resourceVersion":"`+version+`","annotations":{"k8s.io/initial-events-end":"true"}}}}`)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (c crowd) page(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	to, next := c.n, ""
	if limit, _ := strconv.Atoi(r.URL.Query().Get("limit")); limit > 0 && from+limit < c.n {
		to = from + limit
		next = strconv.Itoa(to)
	}
	_, _ = fmt.Fprintf(w, `{"kind":"DatabaseList","apiVersion":"cp.nuodb.com/v1beta1","metadata":{"resourceVersion":%q,"continue":%q},"items":[`, version, next)
	for i := from; i < to; i++ {
		if i > from {
			_, _ = fmt.Fprint(w, ",")
		}
		_, _ = fmt.Fprint(w, c.database(i))
	}
	_, _ = fmt.Fprint(w, "]}")
}

// follow starts an index of the crowd and returns when it knows all of it.
func follow(b *testing.B, c crowd) *usage.Index {
	b.Helper()
	server := httptest.NewServer(c)
	p, err := profile.Builtin("nuodb")
	if err != nil {
		b.Fatal(err)
	}
	set, err := profile.NewSet(p)
	if err != nil {
		b.Fatal(err)
	}
	metrics, err := usage.NewMetrics(nil)
	if err != nil {
		b.Fatal(err)
	}
	config := &rest.Config{Host: server.URL, QPS: 1000, Burst: 2000}
	options, err := usage.OptionsFor(config, config, set, metrics)
	if err != nil {
		b.Fatal(err)
	}
	index := usage.NewIndex(options)
	ctx, cancel := context.WithCancel(logf.IntoContext(b.Context(), logr.Discard()))
	done := make(chan struct{})
	go func() { defer close(done); _ = index.Start(ctx) }()
	b.Cleanup(func() { cancel(); <-done; server.CloseClientConnections(); server.Close() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for index.Recall(tier("n0.small"), 3).Total < c.n {
		<-tick.C
	}
	return index
}

func tier(name string) guard.Target {
	return guard.Target{Resource: schema.GroupResource{Group: "cp.nuodb.com", Resource: "servicetiers"}, Kind: "ServiceTier", Namespace: "cp", Name: name}
}

// BenchmarkUsageDecision is the decision itself, with few and with lots of
// referrers: to refuse (the tier is in use) and what is left of an allow once
// it was proved that nothing is missing.
func BenchmarkUsageDecision(b *testing.B) {
	for _, n := range []int{few, lots} {
		index := follow(b, crowd{n: n})
		for name, target := range map[string]guard.Target{"used": tier("n0.small"), "free": tier("n1.free")} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				times := make([]time.Duration, 0, b.N)
				for b.Loop() {
					started := time.Now()
					index.Recall(target, 3)
					times = append(times, time.Since(started))
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "ns-p50")
				b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "ns-p99")
			})
		}
	}
}

// BenchmarkUsageHeap is what an index of 100,000 databases takes: what stays
// after garbage collection, and the most that was there during the first sync.
func BenchmarkUsageHeap(b *testing.B) {
	for name, pages := range map[string]bool{"streamed": false, "paged": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				var peak atomic.Uint64
				stop := sample(&peak)
				started := time.Now()
				index := follow(b, crowd{n: lots, pages: pages})
				took := time.Since(started)
				stop()
				b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-kept")
				b.ReportMetric(float64(peak.Load()-before)/(1<<20), "MiB-peak")
				b.ReportMetric(took.Seconds(), "s-sync")
				runtime.KeepAlive(index)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one finds to be finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sample notes the largest heap until stop is called.
func sample(peak *atomic.Uint64) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(end); <-ended }
}
