// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// manualRun is a run of the scripted manual procedure.
type manualRun struct {
	total      time.Duration
	steps      map[string]time.Duration // row, keys, prepare, deletes, check
	partitions int
	rss        int64 // bytes, at the most
}

// purgeRun is a dry-run of holdfast, to learn the digest, and the purge.
type purgeRun struct {
	plan, purge time.Duration
	// deletes is the time in which all partitions were deleted, those of paths and
	// the reads that find them included.
	deletes time.Duration
	deleted int
	rss     int64
}

func (p purgeRun) total() time.Duration { return p.plan + p.purge }

// command runs a command and gives its output, its time and its peak memory.
func command(ctx context.Context, env []string, name string, args ...string) (stdout, stderr string, took time.Duration, rss int64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return "", "", 0, 0, fmt.Errorf("run %s: %w: %s", filepath.Base(name), err, strings.TrimSpace(complaint.String()))
	}
	took = time.Since(begun)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		rss = usage.Maxrss << 10
	}
	return out.String(), complaint.String(), took, rss, nil
}

func (b *bench) manual(ctx context.Context, r *realm.Realm) (manualRun, error) {
	folder, err := os.MkdirTemp(b.dir, "manual-")
	if err != nil {
		return manualRun{}, err
	}
	host, port, err := net.SplitHostPort(b.cluster.Hosts[0])
	if err != nil {
		return manualRun{}, err
	}
	script := filepath.Join(b.root, "test", "cassandra", "bench", "manual.sh")
	out, _, took, rss, err := command(ctx, nil, script, b.cqlsh, host, port, r.Keyspace, target(0).Name, "1", folder)
	if err != nil {
		return manualRun{}, err
	}
	run := manualRun{total: took, steps: map[string]time.Duration{}, rss: rss}
	for line := range strings.Lines(out) {
		var step string
		var value float64
		if _, err := fmt.Sscanf(line, "%s %f", &step, &value); err != nil {
			continue // cqlsh says something of its own now and then
		}
		if step == "partitions" {
			run.partitions = int(value)
			continue
		}
		run.steps[step] = time.Duration(value * float64(time.Second))
	}
	return run, nil
}

func (b *bench) purge(ctx context.Context, r *realm.Realm) (purgeRun, error) {
	args := append([]string{"recovery", "purge-interface", "--realm", r.Realm, "--interface", target(0).Name, "--major", "1", "-o", "json"}, b.cluster.Flags()...)
	env := []string{"XDG_STATE_HOME=" + b.dir}
	out, _, plan, _, err := command(ctx, env, b.binary, append(args, "--dry-run")...)
	if err != nil {
		return purgeRun{}, err
	}
	var planned struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &planned); err != nil {
		return purgeRun{}, fmt.Errorf("read plan: %w", err)
	}
	out, told, took, rss, err := command(ctx, env, b.binary, append(args, "--writers-stopped", "--confirm", planned.Digest)...)
	if err != nil {
		return purgeRun{}, err
	}
	var report struct {
		Complete bool
		Deleted  struct{ Datastreams int }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return purgeRun{}, fmt.Errorf("read report: %w", err)
	}
	if !report.Complete {
		return purgeRun{}, fmt.Errorf("purge %s: not complete: %s", r.Realm, out)
	}
	return purgeRun{plan: plan, purge: took, deletes: firstSweep(told), deleted: report.Deleted.Datastreams, rss: rss}, nil
}

// firstSweep is the time from the beginning of the first sweep to that of the
// second, as the command tells it.
func firstSweep(told string) time.Duration {
	var begun, ended time.Time
	lines := bufio.NewScanner(strings.NewReader(told))
	for lines.Scan() {
		var line struct {
			Time           time.Time
			Phase, Message string
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // the plan is printed as well
		}
		switch {
		case line.Phase == "sweep" && strings.HasPrefix(line.Message, "sweep 1:"):
			begun = line.Time
		case line.Phase == "sweep" && strings.HasPrefix(line.Message, "sweep 2:"):
			ended = line.Time
		}
	}
	return ended.Sub(begun)
}
