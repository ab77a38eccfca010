// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Bench compares the purge of an interface with Astarte's manual procedure, as a
// careful person would script it with cqlsh, on one real Cassandra: the same
// data for both, everything included. It writes a page with the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a process starts from an empty context
	cqlsh := flag.String("cqlsh", "cqlsh", "the cqlsh to run")
	out := flag.String("out", "docs/benchmarks-purge.md", "the page to write")
	flag.Parse()
	err := run(ctx, *cqlsh, *out)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

// The sizes: target partitions, among four times as many others.
const (
	small = 10_000
	large = 50_000
	// tenfold is compared with small: ten times more data in the realm.
	tenfold = 10 * small
)

// bench is a run of the benchmark.
type bench struct {
	cluster *cassandra.Cluster
	binary  string
	root    string
	cqlsh   string
	dir     string
}

func run(ctx context.Context, cqlsh, out string) (err error) {
	b := &bench{cqlsh: cqlsh}
	if b.root, err = cassandra.Root(); err != nil {
		return err
	}
	b.binary = filepath.Join(b.root, "bin", "holdfast")
	if b.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // a temporary folder
	progress("starting Cassandra")
	if b.cluster, err = cassandra.Start(ctx, cassandra.Options{HeapMiB: 2048, Config: map[string]any{
		// Nobody is to fail because the machine does something else for a moment.
		"read_request_timeout": "60s", "range_request_timeout": "60s", "write_request_timeout": "60s", "request_timeout": "60s",
	}}); err != nil {
		return err
	}
	defer func() {
		if closed := b.cluster.Close(); err == nil {
			err = closed
		}
	}()
	r := results{load: load()}
	// A first small round warms the server up, and is not counted.
	if _, _, err := b.compare(ctx, small/10, "warm"); err != nil {
		return err
	}
	for _, size := range []int{small, large} {
		manual, ours, err := b.compare(ctx, size, "cmp")
		if err != nil {
			return err
		}
		alone, err := b.deletesAlone(ctx, size)
		if err != nil {
			return err
		}
		r.compared = append(r.compared, comparison{size, manual, ours, alone})
	}
	if r.tenfold, err = b.alone(ctx, tenfold); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(r.page()), 0o644)
}

// compare fills two realms with the same data and purges one in each way.
func (b *bench) compare(ctx context.Context, size int, prefix string) (manual manualRun, ours purgeRun, err error) {
	byHand, err := b.fill(ctx, prefix+"manual"+strconv.Itoa(size), size, all)
	if err != nil {
		return manual, ours, err
	}
	byHoldfast, err := b.fill(ctx, prefix+"ours"+strconv.Itoa(size), size, all)
	if err != nil {
		return manual, ours, err
	}
	b.prioritize(raised)
	defer b.prioritize(0)
	progress("purging %d partitions by the manual", size)
	if manual, err = b.manual(ctx, byHand); err != nil {
		return manual, ours, err
	}
	progress("purging %d partitions with holdfast", size)
	if ours, err = b.purge(ctx, byHoldfast); err != nil {
		return manual, ours, err
	}
	if manual.partitions != size || ours.deleted != size {
		return manual, ours, fmt.Errorf("compare: %d partitions were there, the manual deleted %d and holdfast %d", size, manual.partitions, ours.deleted)
	}
	for _, r := range []*realm.Realm{byHand, byHoldfast} {
		if err := r.Drop(ctx); err != nil {
			return manual, ours, err
		}
	}
	return manual, ours, nil
}

// alone purges with holdfast alone.
func (b *bench) alone(ctx context.Context, size int) (purgeRun, error) {
	r, err := b.fill(ctx, "ten"+strconv.Itoa(size), size, all)
	if err != nil {
		return purgeRun{}, err
	}
	b.prioritize(raised)
	defer b.prioritize(0)
	progress("purging %d partitions with holdfast", size)
	return b.purge(ctx, r)
}

const pathsPerDevice = 10

// target is the interface that goes; others stay beside it.
func target(number int) realm.Interface {
	return realm.Interface{Name: "com.example.Bench" + strconv.Itoa(number), Major: 1, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/%{id}/value", Type: realm.Double},
	}}
}

// all is the number of interfaces in a realm: the target and four others.
const all = 5

// fill makes a realm with so many interfaces, the target first, of size partitions
// each. The devices have dropped the interface from their introspection.
func (b *bench) fill(ctx context.Context, name string, size, interfaces int) (*realm.Realm, error) {
	progress("filling realm %s: %d interfaces with %d partitions each", name, interfaces, size)
	session, err := b.cluster.Session()
	if err != nil {
		return nil, err
	}
	r, err := realm.Create(ctx, session, realm.V1_2, realm.NamesOf(realm.V1_2, name, ""))
	if err != nil {
		return nil, err
	}
	devices := realm.DeviceIDs(0, size/pathsPerDevice)
	for _, id := range devices {
		if err := r.AddDevice(ctx, realm.Device{ID: id, Introspection: map[string]int{target(1).Name: 1}, Old: map[string]int{target(0).Name: 1}}); err != nil {
			return nil, err
		}
	}
	for number := range interfaces {
		if err := r.Install(ctx, target(number)); err != nil {
			return nil, err
		}
		if _, err := r.Load(ctx, realm.Load{Interface: target(number), Devices: devices, Paths: pathsPerDevice, Rows: 2}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func progress(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }
