// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is the supervisor's package.
const command = "github.com/holdfast-dev/holdfast/test/controlplane/cmd/controlplane"

// stopTimeout bounds how long the supervisor may take to end everything.
const stopTimeout = 30 * time.Second

// Ready is the line that the supervisor prints when the control plane runs.
type Ready struct {
	Dir        string `json:"dir"`
	Logs       string `json:"logs"`
	Bin        string `json:"bin"`
	Kubeconfig string `json:"kubeconfig"`
	AuditLog   string `json:"auditLog,omitempty"`
}

// Request is a line that the supervisor reads from its standard input; it
// answers each with a Response line.
type Request struct {
	// Do is user, kill-api-server, start-api-server or restart-controller-manager.
	Do string `json:"do"`
	// Name and Groups are those of the user to make.
	Name   string   `json:"name,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Response answers a Request.
type Response struct {
	Error      string `json:"error,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// supervisor is the other process, seen from here.
type supervisor struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *os.File

	mu      sync.Mutex // one request at a time
	stopped bool
}

func startSupervisor(ctx context.Context, options Options) (*supervisor, Ready, error) {
	var first Ready
	bin, program, err := build(ctx)
	if err != nil {
		return nil, first, err
	}
	args := []string{"-bin", bin}
	for _, f := range options.APIServerFlags {
		args = append(args, "-api-server-flag", f)
	}
	for _, f := range options.ControllerManagerFlags {
		args = append(args, "-controller-manager-flag", f)
	}
	if options.AuditLog {
		args = append(args, "-audit-log")
	}
	if options.Logs != "" {
		args = append(args, "-logs", options.Logs)
	}
	s, err := run(ctx, program, args)
	if err != nil {
		return nil, first, err
	}
	// The supervisor gives up by itself when the control plane does not come up;
	// closing its input makes it give up early.
	release := context.AfterFunc(ctx, func() { _ = s.stdin.Close() })
	err = s.read(&first)
	if !release() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		stopErr := s.stop()
		return nil, first, errors.Join(ctx.Err(), stopErr, err)
	}
	return s, first, nil
}

// Binaries returns the folder with etcd, kube-apiserver,
// kube-controller-manager, kubectl, helm3 and helm4. The first time it builds
// them, which takes minutes.
func Binaries(ctx context.Context) (string, error) {
	mod, err := output(ctx, "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	return output(ctx, filepath.Join(filepath.Dir(mod), "test", "controlplane", "build.sh"))
}

// build returns that folder and the supervisor's program, both from caches when
// nothing has changed.
func build(ctx context.Context) (bin, program string, err error) {
	if bin, err = Binaries(ctx); err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", fmt.Errorf("find cache folder: %w", err)
	}
	program = filepath.Join(cache, "holdfast", "controlplane", "supervisor")
	// With the output in place, go build only checks that it is up to date.
	return bin, program, Make(ctx, program, "go", "build", "-o", program, command)
}

// Make runs the command that makes a file, while no other test program does.
func Make(ctx context.Context, file string, command ...string) error {
	unlock, err := lock(file)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = output(ctx, command[0], command[1:]...)
	return err
}

// lock keeps other test programs from making the same file at the same time.
func lock(made string) (unlock func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache folder: %w", err)
	}
	name := strings.ReplaceAll(strings.Trim(made, "/"), "/", "_") + ".lock"
	path := filepath.Join(cache, "holdfast", "controlplane", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil // closing it unlocks it
}

// output runs a command and returns what it prints, without the last line end.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	// build.sh tells what it does, which can take minutes the first time.
	cmd.Stderr = io.MultiWriter(os.Stderr, &stderr)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", cmd, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func run(ctx context.Context, program string, args []string) (*supervisor, error) {
	s := &supervisor{cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...)}
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	s.stdout = bufio.NewReader(out)
	// A file, not a pipe: the supervisor can still write when this process is gone.
	if s.stderr, err = os.CreateTemp("", "holdfast-supervisor-*.log"); err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	s.cmd.Stderr = s.stderr
	// An interrupt typed on the terminal is this process's to answer, not the
	// supervisor's, which then sees its input close.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = s.cmd.Start()
	// Unlinked at once, so that no killed test leaves it behind.
	err = errors.Join(err, os.Remove(s.stderr.Name()))
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return s, nil
}

// read reads one line of the supervisor's output.
func (s *supervisor) read(into any) error {
	line, err := s.stdout.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read supervisor's answer: %w", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("read supervisor's answer %q: %w", line, err)
	}
	return nil
}

// ask sends a request and waits for its answer.
func (s *supervisor) ask(request Request) (Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var response Response
	if s.stopped {
		return response, fmt.Errorf("%s: the control plane is stopped", request.Do)
	}
	err := json.NewEncoder(s.stdin).Encode(request)
	if err == nil {
		err = s.read(&response)
	}
	if err == nil && response.Error != "" {
		err = errors.New(response.Error)
	}
	if err != nil {
		return response, fmt.Errorf("%s: %w", request.Do, err)
	}
	return response, nil
}

// stop closes the supervisor's input and waits until it has ended.
func (s *supervisor) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	_ = s.stdin.Close() // it may be closed already
	late := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	err := s.cmd.Wait()
	said, readErr := s.complaints()
	if err != nil {
		err = fmt.Errorf("control plane ended with %w: %s", err, said)
	}
	return errors.Join(err, readErr, s.stderr.Close())
}

// complaints is what the supervisor wrote to its error stream.
func (s *supervisor) complaints() (string, error) {
	if _, err := s.stderr.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read supervisor's log: %w", err)
	}
	text, err := io.ReadAll(s.stderr)
	if err != nil {
		return "", fmt.Errorf("read supervisor's log: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
