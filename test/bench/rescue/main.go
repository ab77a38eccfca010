// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Rescue measures, on a real API server, what a rescue of an Astarte costs, the
// restore of a large set, and a scan of a cluster with many guarded objects, and
// writes a page with the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

func main() {
	out := flag.String("out", "docs/benchmarks-recovery.md", "the page to write")
	objects := flag.Int("objects", 10_000, "how many guarded objects are scanned")
	members := flag.Int("set", 500, "how many objects the set has that is restored")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a process starts from an empty context
	err := run(ctx, *objects, *members, *out)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

const page = `# Benchmarks of recovery

Written by ` + "`make bench-recovery`" + ` on a real kube-apiserver, kube-controller-manager and etcd; %d CPUs (%s), Go %s, %s.

| measure | figure | target |
| --- | --- | --- |
%s
The rescue is of an Astarte of the shape of operator 23.5.2 that hangs Terminating with its definition, Holdfast being away; the
operator is brought back by Helm in between, whose requests are not counted. Most requests are the two searches through all kinds
for what belongs to the Astarte, at the plan and before its finalizer is removed, and the saving of its Secrets. Most of the time
is waiting for the garbage collector and for the definition to go. The restored set is an object of a kind of its own with Secrets
that come before it and ConfigMaps that it owns, half of each, and its definition; all of it is gone. Each object is read, tried
without effect, created, read back, and noted with its snapshot. The scan is the whole command; memory is the largest resident
set of its process.
`

// run measures everything and writes the page.
func run(ctx context.Context, objects, members int, out string) (err error) {
	binary, err := harness.Build(ctx)
	if err != nil {
		return err
	}
	cluster, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	cluster.Config.WarningHandler = rest.NoWarnings{}
	admin := harness.Runner{Cluster: cluster, Kubeconfig: cluster.Kubeconfig, Binary: binary, Timeout: 5 * time.Minute}
	for _, namespace := range []string{holdfastNamespace, house, operators, library, shop} {
		if r := admin.Kubectl(ctx, "create", "namespace", namespace); r.Code != 0 {
			return errors.New(r.Stderr)
		}
	}
	rescued, err := measureRescue(ctx, admin)
	if err != nil {
		return fmt.Errorf("rescue: %w", err)
	}
	restored, err := measureRestore(ctx, admin, members)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	scanned, err := measureScan(ctx, admin, objects)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	rows := strings.Join(slices.Concat(rescued, restored, scanned), "\n") + "\n"
	text := fmt.Sprintf(page, runtime.NumCPU(), runtime.GOARCH, runtime.Version(), time.Now().UTC().Format(time.DateOnly), rows)
	_, _ = fmt.Fprint(os.Stderr, rows)
	return os.WriteFile(out, []byte(text), 0o600)
}

func row(what, figure, target string) string {
	return fmt.Sprintf("| %s | %s | %s |", what, figure, target)
}
