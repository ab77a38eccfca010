// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// steady fills the cluster, waits until everything is saved, and looks for a
// while at what Holdfast asks although nothing changes.
func (c *backup) steady(ctx context.Context, r *report) error {
	if err := c.fill(ctx); err != nil {
		return err
	}
	began := time.Now()
	offset, err := fileSize(c.cluster.AuditLog)
	if err != nil {
		return err
	}
	pause := time.NewTimer(c.size.steady)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
	}
	calls, err := c.calls(offset)
	if err != nil {
		return err
	}
	minutes := time.Since(began).Minutes()
	total := 0
	var what []string
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		total += calls[call]
		what = append(what, fmt.Sprintf("%s %.1f", call, float64(calls[call])/minutes))
	}
	if len(what) == 0 {
		what = []string{"none"}
	}
	r.compare(fmt.Sprintf("API calls a minute beyond watches and leases while %d Astartes and %d tiers do not change (%s)", c.size.astartes, c.size.tiers, strings.Join(what, ", ")),
		fmt.Sprintf("%.1f", float64(total)/minutes), "none", total == 0)
	mib, err := resident(c.holdfast.PID())
	if err != nil {
		return err
	}
	r.compare("memory of 'serve' with them", fmt.Sprintf("%.0f MiB", mib), "", true)
	return nil
}

// fill creates what is guarded, and returns when all of it is saved and at rest.
func (c *backup) fill(ctx context.Context) error {
	var last *unstructured.Unstructured
	for c.serial < c.size.astartes {
		var err error
		if last, err = c.create(ctx); err != nil {
			return err
		}
	}
	for range 3 { // each round goes on with what the one before has made
		if err := c.operator.Round(ctx); err != nil {
			return err
		}
	}
	err := each(make([]string, c.size.tiers), 16, nil, c.tier(ctx))
	if err != nil {
		return err
	}
	if last != nil {
		if err := c.whole(ctx, last); err != nil {
			return err
		}
	}
	var before float64
	quiet := time.Now()
	return until(ctx, func() (bool, error) {
		m, err := c.metrics(ctx)
		if err != nil {
			return false, err
		}
		const sum, without = "holdfast_guarded_objects{resource=%q", "holdfast_guarded_objects_without_recent_set{resource=%q"
		taken := m[`holdfast_recorder_sets_total{outcome="saved"`]
		if taken != before {
			before, quiet = taken, time.Now()
		}
		return m[fmt.Sprintf(sum, astartes)] == float64(c.size.astartes) && m[fmt.Sprintf(sum, tiers)] == float64(c.size.tiers) &&
			m[fmt.Sprintf(without, astartes)] == 0 && m[fmt.Sprintf(without, tiers)] == 0 && time.Since(quiet) > 10*time.Second, nil
	})
}

// tier makes a tier with an empty spec.
func (c *backup) tier(ctx context.Context) func(string) error {
	return func(string) error {
		_, err := c.client.Resource(harness.Tiers()).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
			"metadata": map[string]any{"generateName": "t-"}, "spec": map[string]any{"features": []any{}},
		}}, metav1.CreateOptions{})
		return err
	}
}

func fileSize(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// calls counts Holdfast's requests since offset of the audit log, by verb and
// resource, but for watches and leases.
func (c *backup) calls(offset int64) (map[string]int, error) {
	f, err := os.Open(c.cluster.AuditLog)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	calls := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event struct {
			Stage, Verb, RequestURI string
			User                    struct{ Username string }
			ObjectRef               struct{ Resource string }
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue // the offset was within a line
		}
		if event.Stage != "ResponseComplete" || event.Verb == "watch" || event.ObjectRef.Resource == "leases" ||
			!strings.HasPrefix(event.User.Username, "system:serviceaccount:"+c.holdfast.Namespace+":") {
			continue
		}
		what := event.ObjectRef.Resource
		if what == "" {
			what, _, _ = strings.Cut(event.RequestURI, "?")
		}
		calls[event.Verb+" "+what]++
	}
	return calls, lines.Err()
}

// deletes measures the deletion of tiers whose sets are taken already.
func (c *backup) deletes(ctx context.Context, r *report) error {
	list, err := c.client.Resource(harness.Tiers()).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	half := len(names) / 2
	for parallel, some := range map[int][]string{1: names[:min(half, c.size.requests/4)], 32: names[half:]} {
		s := &sample{}
		err := each(some, parallel, s, func(name string) error {
			return c.client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		})
		if err != nil {
			return err
		}
		r.compare(fmt.Sprintf("deletes of tiers with their sets, %d parallel", parallel), fmt.Sprintf("%.0f/s, P50 %s", s.perSecond(), ms(s.p50())), "", true)
	}
	return nil
}

func (c *backup) metrics(ctx context.Context) (metrics, error) {
	return (&bench{holdfast: c.holdfast}).metrics(ctx)
}
