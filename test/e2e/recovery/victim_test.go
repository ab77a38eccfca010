// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// newRecovery is the library over its own clients.
func newRecovery(config *rest.Config) (*recovery.Recovery, error) {
	r, _, err := harness.NewRecovery(config, holdfastNamespace, "nuodb")
	return r, err
}

// target names a tier or feature for the library.
func target(ctx context.Context, r *recovery.Recovery, kind, namespace, name string) (recovery.Target, error) {
	mapping, err := r.Mapper.RESTMappingWithContext(ctx, schemaKind(kind), "v1beta1")
	return recovery.Target{Mapping: mapping, Namespace: namespace, Name: name}, err
}

// faults makes the Nth write of a client go wrong. Dry-runs are no writes.
type faults struct {
	next   http.RoundTripper
	at     int32
	before func() error  // instead of sending it
	after  func() error  // instead of passing its answer on
	writes *atomic.Int32 // of all clients together
}

// RoundTrip sends a request, or does not.
func (f *faults) RoundTrip(req *http.Request) (*http.Response, error) {
	reads := req.Method == http.MethodGet || strings.Contains(req.URL.RawQuery, "dryRun=") || strings.HasPrefix(req.URL.Path, "/apis/authentication.k8s.io")
	if reads || f.writes.Add(1) != f.at {
		return f.next.RoundTrip(req)
	}
	if f.before != nil {
		if err := f.before(); err != nil {
			return nil, err
		}
	}
	resp, err := f.next.RoundTrip(req)
	if err != nil || f.after == nil {
		return resp, err
	}
	// The answer has come in full: the write has taken place.
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, f.after()
}

// victimJob is the environment variable that makes this program a victim.
const victimJob = "RECOVERY_VICTIM"

// job is what a victim does, and at which write it is killed.
type job struct {
	Kubeconfig string
	At         int32
	// Answered says that the write has taken place when the kill comes.
	Answered bool
	// Undo are KIND/NAMESPACE/NAME, Restore are IDs.
	Undo, Restore []string
}

// victim does its job until it is killed; reaching the end is exit code 0.
func victim(text string) int {
	err := func() error {
		var j job
		if err := json.Unmarshal([]byte(text), &j); err != nil {
			return err
		}
		config, err := clientcmd.BuildConfigFromFlags("", j.Kubeconfig)
		if err != nil {
			return err
		}
		kill := func() error {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes at any moment
		}
		var writes atomic.Int32
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			f := &faults{next: next, at: j.At, writes: &writes}
			if j.Answered {
				f.after = kill
			} else {
				f.before = kill
			}
			return f
		})
		return j.do(context.Background(), config) //nolint:forbidigo // a process starts from an empty context
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (j *job) do(ctx context.Context, config *rest.Config) error {
	r, err := newRecovery(config)
	if err != nil {
		return err
	}
	var plan *recovery.Plan
	if len(j.Restore) > 0 {
		plan, err = r.PlanRestore(ctx, j.Restore, recovery.RestoreOptions{})
	} else {
		var targets []recovery.Target
		for _, text := range j.Undo {
			part := strings.Split(text, "/")
			t, err := target(ctx, r, part[0], part[1], part[2])
			if err != nil {
				return err
			}
			targets = append(targets, t)
		}
		plan, err = r.PlanUndo(ctx, targets)
	}
	if err != nil {
		return err
	}
	var failed error
	r.Run(ctx, plan, func(o *recovery.Outcome) {
		if o.Result == recovery.ResultFailed {
			failed = errors.Join(failed, fmt.Errorf("%s: %s", o, o.Reason))
		}
	})
	return failed
}

// runVictim runs a job in a process of its own and tells whether it was killed.
func runVictim(ctx context.Context, j job) (killed bool, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), victimJob+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false, nil
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true, nil
	default:
		return false, fmt.Errorf("%w: %s", err, out)
	}
}
