// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Compare measures Holdfast on a real API server against the simplest webhooks
// that could stand in its place, interleaved in one run, and writes a page with
// the figures. What counts are the ratios; the rest depends on the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// sizes say how much is measured.
type sizes struct {
	requests  int // per measure and degree of parallelism
	referrers []int
	undos     int
	manual    int
	snapshots int
	// astartes and tiers do not change for as long as steady.
	astartes, tiers int
	steady          time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a process starts from an empty context
	out := flag.String("out", "docs/benchmarks.md", "the page to write")
	figures := flag.String("index", "", "what the Go benchmarks of the index have printed, to be told of too")
	quick := flag.Bool("quick", false, "measure little, to see that everything works")
	rivals := flag.String("rivals", "", "only serve the webhooks to compare with, with this kubeconfig")
	backups := flag.Bool("backup-only", false, "measure continuous backup alone")
	secrets := flag.String("rivals-secrets", "", "the namespace that they write Secrets to")
	flag.Parse()
	size := sizes{requests: 600, referrers: []int{100, 10_000, 100_000}, undos: 200, manual: 200, snapshots: 10_000, astartes: 100, tiers: 1000, steady: 2 * time.Minute}
	if *quick {
		size = sizes{requests: 64, referrers: []int{100, 600}, undos: 5, manual: 2, snapshots: 200, astartes: 8, tiers: 40, steady: 40 * time.Second}
	}
	logf.SetLogger(logr.Discard())
	var err error
	switch {
	case *rivals != "":
		err = serveRivals(ctx, *rivals, *secrets)
	case *backups:
		page := &report{}
		if err = (&bench{size: size}).sets(ctx, page); err == nil {
			err = page.write(*out, size)
		}
	default:
		err = run(ctx, size, *figures, *out)
	}
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

// run measures everything and writes the page.
func run(ctx context.Context, size sizes, figures, out string) error {
	b, err := newBench(ctx, size)
	if err != nil {
		return err
	}
	defer b.close()
	page := &report{}
	measures := []func(context.Context, *report) error{
		// The referrers come last: they make everything that lists their namespace slow.
		b.refusals, b.allowances, b.undo, b.list, b.freshness, b.planUndo, b.sets,
	}
	if figures != "" {
		measures = append(measures, index(figures))
	}
	for _, measure := range measures {
		if err := measure(ctx, page); err != nil {
			return err
		}
	}
	return page.write(out, size)
}
