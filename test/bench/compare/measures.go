// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusals compares refusals with those of a webhook that refuses blindly.
func (b *bench) refusals(ctx context.Context, r *report) error {
	for _, kind := range refusers() {
		if err := b.create(ctx, object(kind, "kept", ""), kind); err != nil {
			return err
		}
	}
	if err := b.create(ctx, object("user", "keeper", "kept"), "user"); err != nil {
		return err
	}
	for _, parallel := range []int{1, 8, 32} {
		s, err := b.refused(ctx, parallel)
		if err != nil {
			return err
		}
		own := s["used"].p50()
		what := fmt.Sprintf("refuse, P50, %d parallel", parallel)
		r.add(what, ms(own), "refusing blindly "+ms(s["refused"].p50()), float64(own)/float64(s["refused"].p50()), 1.1)
		r.add(what, ms(own), "refusing blindly by the same two entries with as long an answer "+ms(s["twice"].p50()), float64(own)/float64(s["twice"].p50()), 0)
	}
	return nil
}

// allowances compares deletions that are saved and allowed.
func (b *bench) allowances(ctx context.Context, r *report) error {
	for _, parallel := range []int{1, 32} {
		before, err := b.metrics(ctx)
		if err != nil {
			return err
		}
		s, err := b.deletions(ctx, []string{"plain", "noop", "write"}, parallel)
		if err != nil {
			return err
		}
		after, err := b.metrics(ctx)
		if err != nil {
			return err
		}
		if parallel == 1 {
			n := float64(len(s["plain"].took))
			r.add("requests of Holdfast for an allowed delete: POST", fmt.Sprintf("%.2f", after.requestsSince(before, "POST")/n), "one plain Secret write 1.00", after.requestsSince(before, "POST")/n, 1)
			r.add("requests of Holdfast for an allowed delete: GET", fmt.Sprintf("%.2f", after.requestsSince(before, "GET")/n), "-", after.requestsSince(before, "GET")/n, 0)
			r.add("allow and save, inside Holdfast, mean", ms(after.meanSince(before, "allow")), "-", 1, 0)
		}
		own, noop, write := s["plain"], s["noop"], s["write"]
		toNoop := 0.0 // no target when many run at once
		if parallel == 1 {
			toNoop = 1.6
		}
		r.add(fmt.Sprintf("allow and save, P50, %d parallel", parallel), ms(own.p50()), "no-op webhook "+ms(noop.p50()), float64(own.p50())/float64(noop.p50()), toNoop)
		r.add(fmt.Sprintf("allow and save, P50, %d parallel", parallel), ms(own.p50()), "one plain Secret write "+ms(write.p50()), float64(own.p50())/float64(write.p50()), 1.05)
		r.add(fmt.Sprintf("time per delete, %d parallel", parallel), fmt.Sprintf("%.0f/s", own.perSecond()), fmt.Sprintf("one plain Secret write %.0f/s", write.perSecond()), write.perSecond()/own.perSecond(), 1.05)
	}
	return nil
}

// freshness measures what an allow costs when it must be proved that nobody
// refers to the object, and what the decision costs, as referrers grow.
func (b *bench) freshness(ctx context.Context, r *report) error {
	var fewest time.Duration
	there := 0
	for _, n := range b.size.referrers {
		if err := each(b.names(n-there), 32, nil, func(name string) error { return b.create(ctx, object("user", name, "kept"), "user") }); err != nil {
			return err
		}
		there = n
		// Holdfast has seen them all when it refuses because of the last one.
		if err := b.settled(ctx); err != nil {
			return err
		}
		size := b.size.requests
		if n > 500 {
			b.size.requests = batches * 2 // seconds each
		}
		one, err := b.deletions(ctx, []string{"used", "write"}, 1)
		if err != nil {
			return err
		}
		many, err := b.deletions(ctx, []string{"used"}, 32)
		b.size.requests = size
		if err != nil {
			return err
		}
		if n <= 500 {
			if err := b.apart(ctx, r, n); err != nil {
				return err
			}
			more := one["used"].p50() - one["write"].p50()
			r.limit(fmt.Sprintf("allow with %d referrers, one right after the other, P50, more than one plain write", n), ms(more), more, 5*time.Millisecond)
		} else {
			r.limit(fmt.Sprintf("allow with %d referrers, one at a time, slowest", n), ms(one["used"].quantile(1)), one["used"].quantile(1), 2*time.Second)
			r.limit(fmt.Sprintf("allow with %d referrers, 32 at once, slowest", n), ms(many["used"].quantile(1)), many["used"].quantile(1), 2*time.Second)
		}
		decision, err := b.decision(ctx)
		if err != nil {
			return err
		}
		if fewest == 0 {
			fewest = decision
		} else {
			r.add(fmt.Sprintf("decision to refuse, inside Holdfast, mean, %d referrers", n), ms(decision), fmt.Sprintf("%d referrers %s", b.size.referrers[0], ms(fewest)), float64(decision)/float64(fewest), 1.2)
		}
	}
	return nil
}

// alone is the pause before a deletion that comes alone: the API server asks
// etcd at most every 100 ms how far it is.
const alone = 120 * time.Millisecond

// apart measures deletions that do not come right after one another.
func (b *bench) apart(ctx context.Context, r *report, n int) error {
	samples := map[string]*sample{"used": {}, "write": {}}
	for _, name := range b.names(max(1, b.size.requests/4)) {
		for kind, s := range samples {
			if err := b.create(ctx, object(kind, name, ""), kind); err != nil {
				return err
			}
			pause := time.NewTimer(alone)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-pause.C:
			}
			err := each([]string{name}, 1, s, func(name string) error {
				return b.client.Resource(resource(kind)).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
			})
			if err != nil {
				return fmt.Errorf("delete %s: %w", kind, err)
			}
		}
	}
	more := samples["used"].p50() - samples["write"].p50()
	r.limit(fmt.Sprintf("allow with %d referrers, each by itself, P50, more than one plain write", n), ms(more), more, 5*time.Millisecond)
	return nil
}

// settled waits until Holdfast counts a referrer that is made now.
func (b *bench) settled(ctx context.Context) error {
	name := b.names(1)[0]
	if err := b.create(ctx, object("used", name, ""), "used"); err != nil {
		return err
	}
	if err := b.create(ctx, object("user", name, name), "user"); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.client.Resource(resource("used")).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "is in use") {
			return b.client.Resource(resource("user")).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// decision is how long a refusal takes inside Holdfast, by its own metrics.
func (b *bench) decision(ctx context.Context) (time.Duration, error) {
	before, err := b.metrics(ctx)
	if err != nil {
		return 0, err
	}
	err = each(make([]string, b.size.requests), 1, nil, func(string) error {
		if b.client.Resource(resource("used")).Namespace(namespace).Delete(ctx, "kept", metav1.DeleteOptions{}) == nil {
			return errAllowed
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	after, err := b.metrics(ctx)
	if err != nil {
		return 0, err
	}
	return after.meanSince(before, "deny"), nil
}

// metrics are the values that Holdfast publishes, by name and labels.
func (b *bench) metrics(ctx context.Context) (metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.holdfast.MetricsURL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	m := metrics{}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, found := strings.Cut(line, "} ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		if m[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("read metric %q: %w", line, err)
		}
	}
	return m, nil
}

type metrics map[string]float64

// meanSince is the mean time of the answers with that verdict since before.
func (m metrics) meanSince(before metrics, verdict string) time.Duration {
	sum, count := `holdfast_admission_seconds_sum{verdict="`+verdict+`"`, `holdfast_admission_seconds_count{verdict="`+verdict+`"`
	return time.Duration((m[sum] - before[sum]) / (m[count] - before[count]) * float64(time.Second))
}

// requestsSince counts Holdfast's own requests by that method since before.
func (m metrics) requestsSince(before metrics, method string) (n float64) {
	for name, value := range m {
		if strings.HasPrefix(name, "rest_client_requests_total{") && strings.Contains(name, `method="`+method+`"`) {
			n += value - before[name]
		}
	}
	return n
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
