// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
)

// step is a command of the story and how it has to behave.
type step struct {
	title string
	args  []string
	code  int
	says  []string // each must be somewhere in the output
	not   []string // none of these may be
}

// tell tells the story. An error is one of the playground itself; what did not
// behave is noted.
func (s *stage) tell(ctx context.Context) error {
	backup := filepath.Join(s.dir, "backup")
	purge := []string{"purge-interface", "--realm", "demo", "--interface", sensors.Name, "--major", "1"}
	s.run(ctx, step{
		title: "What interfaces are in the realm?", args: []string{"interfaces", "--realm", "demo"},
		says: []string{"com.example.Sensors", "com.example.Settings", "com.example.Telemetry"}, not: []string{"com.example.Forgotten"},
	})
	s.run(ctx, step{
		title: "What would a purge of com.example.Sensors v1 do? A dry-run only reads.", args: with(purge, "--dry-run"),
		says: []string{"individual_datastreams", "individual_properties", "declare"},
	})
	digest, err := s.digest(ctx, purge)
	if err != nil {
		return err
	}
	s.run(ctx, step{
		title: "Devices declare it, so the purge is refused, whoever confirms it.", args: with(purge, "--confirm", digest),
		code: 4, says: []string{"refused, nothing was changed", "--allow-declared"},
	})
	s.say("The devices get a firmware that uses major version 2. (The playground changes their introspection.)")
	if err := s.introspect(ctx, false); err != nil {
		return err
	}
	before, err := s.realm.Dump(ctx)
	if err != nil {
		return err
	}
	if digest, err = s.digest(ctx, purge); err != nil {
		return err
	}
	s.run(ctx, step{title: "Without the name typed or the plan's digest nothing happens.", args: purge, code: 4, says: []string{"--confirm " + digest}})
	s.run(ctx, step{
		title: "Now the purge, with a backup; nothing writes here, so there is nobody to wait for.",
		args:  with(purge, "--writers-stopped", "--backup", backup, "--confirm", digest), says: []string{"Purged demo/com.example.Sensors/v1"},
	})
	after, err := s.realm.Dump(ctx)
	if err != nil {
		return err
	}
	s.check("no trace of com.example.Sensors v1 is left", after.Count(sensors) == 0)
	s.check("every other row of the keyspace is as it was, write times included", reflect.DeepEqual(before.Without(sensors), after))
	s.run(ctx, step{title: "The interface is gone, its second major version is not.", args: []string{"interfaces", "--realm", "demo"}, says: []string{"com.example.Sensors"}})
	s.run(ctx, step{title: "The same command again finds nothing to do.", args: with(purge, "--writers-stopped", "--confirm", digest), says: []string{"nothing to do"}})
	if err := s.orphans(ctx); err != nil {
		return err
	}
	s.run(ctx, step{title: "And back again: restore-interface writes every row of the backup.", args: []string{"restore-interface", "--backup", backup, "--yes"}})
	restored, err := s.realm.Dump(ctx)
	if err != nil {
		return err
	}
	s.check("everything is back, to the byte, with new write times",
		restored.Count(sensors) == before.Count(sensors) && reflect.DeepEqual(before.Without(forgotten).Untimed(), restored.Untimed()))
	s.run(ctx, step{title: "The realm at the end.", args: []string{"interfaces", "--realm", "demo"}, says: []string{"com.example.Sensors"}})
	return ctx.Err()
}

// orphans finds and removes what a purge by hand has left.
func (s *stage) orphans(ctx context.Context) error {
	s.run(ctx, step{
		title: "Somebody once deleted the row of com.example.Forgotten by hand, and no more. find-orphans sees its data.",
		args:  []string{"find-orphans", "--realm", "demo"}, says: []string{"com.example.Forgotten", forgotten.ID().String()},
	})
	purge := []string{"purge-interface", "--realm", "demo", "--interface", forgotten.Name, "--major", "1", "--orphan"}
	digest, err := s.digest(ctx, purge)
	if err != nil {
		return err
	}
	s.run(ctx, step{title: "It is purged like any other.", args: with(purge, "--writers-stopped", "--confirm", digest)})
	dump, err := s.realm.Dump(ctx)
	if err != nil {
		return err
	}
	s.check("no trace of com.example.Forgotten is left", dump.Count(forgotten) == 0)
	s.run(ctx, step{title: "No orphan is left.", args: []string{"find-orphans", "--realm", "demo"}, not: []string{"com.example.Forgotten"}})
	return nil
}

func with(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

// run shows a command and its output, and notes what is not as it should be.
func (s *stage) run(ctx context.Context, st step) {
	if ctx.Err() != nil {
		return
	}
	s.say(st.title)
	args := append(append([]string{"recovery"}, st.args...), s.cluster.Flags()...)
	_, _ = fmt.Fprintf(s.out, "$ holdfast %s\n", strings.Join(args, " "))
	var heard bytes.Buffer
	both := io.MultiWriter(s.out, &heard)
	code, err := s.execute(ctx, args, both, both)
	if err != nil {
		s.wrong("%s: %v", st.title, err)
		return
	}
	if code != 0 {
		_, _ = fmt.Fprintf(s.out, "(exit code %d)\n", code)
	}
	if code != st.code {
		s.wrong("%s: exit code %d instead of %d", st.title, code, st.code)
	}
	for _, text := range st.says {
		if !strings.Contains(heard.String(), text) {
			s.wrong("%s: the output lacks %q", st.title, text)
		}
	}
	for _, text := range st.not {
		if strings.Contains(heard.String(), text) {
			s.wrong("%s: the output has %q", st.title, text)
		}
	}
}

// execute runs holdfast with a journal of its own folder.
func (s *stage) execute(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+s.dir)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode(), nil
	}
	return 0, err
}

// digest is the plan's, as a script reads it.
func (s *stage) digest(ctx context.Context, purge []string) (string, error) {
	args := append(append([]string{"recovery"}, with(purge, "--dry-run", "-o", "json")...), s.cluster.Flags()...)
	var out, complaint bytes.Buffer
	code, err := s.execute(ctx, args, &out, &complaint)
	if err != nil || code != 0 {
		return "", fmt.Errorf("plan of %v: exit code %d, %v: %s", purge, code, err, complaint.String()) //nolint:errorlint // it may be nil
	}
	var plan struct{ Digest string }
	if err := json.Unmarshal(out.Bytes(), &plan); err != nil {
		return "", fmt.Errorf("read plan of %v: %w", purge, err)
	}
	return plan.Digest, nil
}

// check is something that the playground itself has looked at in the database.
func (s *stage) check(what string, holds bool) {
	mark := "yes"
	if !holds {
		mark = "NO"
		s.wrong("not so: %s", what)
	}
	_, _ = fmt.Fprintf(s.out, "checked in the database: %s: %s\n", what, mark)
}

func (s *stage) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.failed = append(s.failed, text)
	_, _ = fmt.Fprintf(s.out, "!! %s\n", text)
}
