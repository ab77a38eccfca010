// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// Runner runs commands against a cluster as one user.
type Runner struct {
	Cluster *controlplane.Cluster
	// Kubeconfig is the user's.
	Kubeconfig string
	// Binary is the built holdfast.
	Binary string
	// Env are further variables, NAME=value.
	Env []string
	// Timeout ends a command that waits for what never comes; 2 minutes when zero.
	Timeout time.Duration
	// Started, if set, is given the process of each command.
	Started func(*os.Process)
}

// As is the same Runner for another user's kubeconfig.
func (r Runner) As(kubeconfig string) Runner {
	r.Kubeconfig = kubeconfig
	return r
}

// Result is what a command said and how it ended.
type Result struct {
	Stdout, Stderr string
	// Output is both in the order in which it came.
	Output string
	// Code is the exit code; -1 when the command could not be run, and Stderr
	// then says why.
	Code int
}

// Run runs kubectl, helm3, helm4 or holdfast with empty input.
func (r Runner) Run(ctx context.Context, name string, args ...string) Result {
	return r.RunInput(ctx, "", name, args...)
}

// RunInput runs kubectl, helm3, helm4 or holdfast with that input.
func (r Runner) RunInput(ctx context.Context, input, name string, args ...string) Result {
	path := r.Cluster.Tool(name)
	if name == "holdfast" {
		path = r.Binary
	}
	timeout := cmp.Or(r.Timeout, 2*time.Minute)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	home := filepath.Join(r.Cluster.Dir, "home")
	// Nothing of the user's own configuration, nor of a terminal's width or colours.
	cmd.Env = append([]string{
		"KUBECONFIG=" + r.Kubeconfig, "HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
	}, r.Env...)
	var stdout, stderr bytes.Buffer
	var both ordered
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), io.MultiWriter(&stdout, &both), io.MultiWriter(&stderr, &both)
	err := cmd.Start()
	if err == nil {
		if r.Started != nil {
			r.Started(cmd.Process)
		}
		err = cmd.Wait()
	}
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), Output: both.buffer.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%s was killed after %s", name, timeout)
	}
	if err != nil && !errors.As(err, &exit) {
		result.Code = -1
		result.Stderr += err.Error() + "\n"
		result.Output += err.Error() + "\n"
	}
	return result
}

// ordered takes what two streams write at the same time.
type ordered struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (o *ordered) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

// Kubectl runs kubectl.
func (r Runner) Kubectl(ctx context.Context, args ...string) Result {
	return r.Run(ctx, "kubectl", args...)
}

// Holdfast runs holdfast.
func (r Runner) Holdfast(ctx context.Context, args ...string) Result {
	return r.Run(ctx, "holdfast", args...)
}

// Root is the repository's folder.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Build builds bin/holdfast as it is released and returns its path.
func Build(ctx context.Context) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, "bin", "holdfast")
	// Not as part of a make that may run these tests: it has no jobs for this one.
	return binary, controlplane.Make(ctx, binary, "env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "-s", "-C", root, "build")
}
