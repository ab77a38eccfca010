// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Playground starts a real Cassandra, fills a small realm as Astarte would, and
// shows what the commands around the purge of an interface do, with their real
// output. Then it stays up, to be tried out. With ONCE=1 it ends after the
// story, with an error if any step did not behave.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a process starts from an empty context
	err := play(ctx, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "playground: "+err.Error())
		os.Exit(1)
	}
}

// stage is what the story needs: a cluster, a realm in it, and a folder.
type stage struct {
	out     io.Writer
	cluster *cassandra.Cluster
	realm   *realm.Realm
	binary  string
	dir     string
	failed  []string
}

func play(ctx context.Context, out io.Writer) (err error) {
	s := &stage{out: out}
	root, err := cassandra.Root()
	if err != nil {
		return err
	}
	s.binary = filepath.Join(root, "bin", "holdfast")
	if s.dir, err = os.MkdirTemp("", "holdfast-playground-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir) //nolint:errcheck // a temporary folder
	s.say("Starting Apache Cassandra; the first time its jars are fetched.")
	if s.cluster, err = cassandra.Start(ctx, cassandra.Options{}); err != nil {
		return err
	}
	defer func() {
		if closed := s.cluster.Close(); err == nil {
			err = closed
		}
	}()
	if err := s.fill(ctx); err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	if len(s.failed) > 0 {
		err = fmt.Errorf("%d steps did not behave: %s", len(s.failed), strings.Join(s.failed, "; "))
	} else {
		s.say("Every step behaved as it should.")
	}
	if os.Getenv("ONCE") != "" || ctx.Err() != nil {
		return err
	}
	s.stay(ctx)
	return err
}

// stay says what can be tried, and waits for an interrupt.
func (s *stage) stay(ctx context.Context) {
	flags := strings.Join(s.cluster.Flags(), " ")
	s.say("Cassandra stays up until Ctrl-C. Its flags for holdfast: " + flags)
	s.say("Things to try, in another terminal:")
	for _, line := range []string{
		"recovery interfaces --realm demo",
		"recovery purge-interface --realm demo --interface com.example.Telemetry --major 1 --dry-run --print-cql",
		"recovery purge-interface --realm demo --interface com.example.Telemetry --major 1 --writers-stopped --allow-declared",
		"recovery purge-interface --realm demo --interface com.example.Sensor --major 1    # a wrong name",
		"recovery find-orphans --realm demo",
	} {
		command, comment, _ := strings.Cut(line, "    #")
		if comment != "" {
			comment = "    #" + comment
		}
		_, _ = fmt.Fprintf(s.out, "  bin/holdfast %s %s%s\n", command, flags, comment)
	}
	<-ctx.Done()
	s.say("Stopping Cassandra.")
}

// say prints a line of the story; what cannot be printed nobody reads.
func (s *stage) say(text string) { _, _ = fmt.Fprintf(s.out, "\n## %s\n", text) }
