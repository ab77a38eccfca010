// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// index adds what the Go benchmarks of the reference index have printed into
// file: how long the decision itself takes, and what the index takes of memory.
func index(file string) func(context.Context, *report) error {
	return func(_ context.Context, r *report) error {
		figures, err := readFigures(file)
		if err != nil {
			return fmt.Errorf("read the figures of the index: %w", err)
		}
		for _, name := range []string{"used", "free"} {
			few, lots := figures["UsageDecision/"+name+"/100"], figures["UsageDecision/"+name+"/100000"]
			what := map[string]string{"used": "to refuse", "free": "to allow, once that was proved"}[name]
			r.add(fmt.Sprintf("the decision alone, %s, P50, 100000 referrers", what), ns(lots["ns-p50"]), "100 referrers "+ns(few["ns-p50"]), lots["ns-p50"]/few["ns-p50"], 1.2)
			p99 := time.Duration(max(few["ns-p99"], lots["ns-p99"]))
			r.limit(fmt.Sprintf("the decision alone, %s, P99", what), ns(float64(p99)), p99, 100*time.Microsecond)
		}
		for _, way := range []string{"streamed", "paged"} {
			heap := figures["UsageHeap/"+way]
			r.compare(fmt.Sprintf("heap of an index of 100000 databases, read %s", way), fmt.Sprintf("%.0f MiB", heap["MiB-kept"]), "at most 100 MiB", heap["MiB-kept"] <= 100)
			r.compare("... and its peak during the first sync", fmt.Sprintf("%.0f MiB", heap["MiB-peak"]), "", true)
		}
		return nil
	}
}

func ns(n float64) string { return fmt.Sprintf("%.1f µs", n/1000) }

// readFigures reads the output of 'go test -bench': by benchmark, its values by unit.
func readFigures(file string) (map[string]map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	all := map[string]map[string]float64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndex(name, "-"); i > 0 {
			name = name[:i] // the number of CPUs
		}
		all[name] = map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if all[name][fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
			}
		}
	}
	return all, lines.Err()
}
