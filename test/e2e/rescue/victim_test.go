// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/rescue"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// victimJob is the environment variable that makes this program a victim.
const victimJob = "RESCUE_VICTIM"

// job is what a victim does: a rescue that is killed after its first record.
type job struct {
	Kubeconfig, Holdfast, Dir string
	Name                      types.NamespacedName
	// Install are the words of the command that brings the operator back.
	Install []string
}

// byHelm brings the operator back with its chart.
type byHelm struct{ job *job }

func (byHelm) Steps(context.Context, release.Key) ([]string, error) { return []string{"helm"}, nil }

func (b byHelm) BringBack(ctx context.Context, _ release.Key) error {
	cmd := exec.CommandContext(ctx, b.job.Install[0], b.job.Install[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.job.Kubeconfig, "HOME="+b.job.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (j *job) recovery() (*recovery.Recovery, kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", j.Kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	config.QPS, config.Burst = 1000, 2000
	return harness.NewRecovery(config, j.Holdfast, "astarte")
}

// victim does its job until it is killed; reaching the end is exit code 0. The
// last line that it prints is the record after which it is killed.
func victim(text string) int {
	err := func() error {
		j := &job{}
		if err := json.Unmarshal([]byte(text), j); err != nil {
			return err
		}
		r, kube, err := j.recovery()
		if err != nil {
			return err
		}
		ctx := context.Background() //nolint:forbidigo // a process starts from an empty context
		rescuer := &rescue.Rescue{
			Recovery: r, Operator: byHelm{j}, Tell: func(rescue.Event) {},
			Journals: &journal.Keeper{Kube: kube, Namespace: j.Holdfast, Dir: j.Dir, Self: journal.Self("victim"), Now: time.Now},
			Fresh: func(context.Context) (*recovery.Recovery, error) {
				fresh, _, err := j.recovery()
				return fresh, err
			},
			Recorded: func(record, what string) {
				fmt.Println(record, strings.Fields(what + " -")[0]) //nolint:forbidigo // it is what the parent reads
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // it comes at any moment
			},
		}
		plan, err := rescuer.Plan(ctx, []types.NamespacedName{j.Name})
		if err != nil {
			return err
		}
		_, err = rescuer.Run(ctx, plan, "the command")
		return err
	}()
	if errors.Is(err, rescue.ErrNotTerminating) {
		return 0 // the last record was that everything is done
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runVictim runs a job in a process of its own, and gives the record after
// which it was killed; empty when it came to its end.
func runVictim(ctx context.Context, j job) (string, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), victimJob+"="+string(text))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return strings.TrimSpace(stdout.String()), nil
	default:
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
}
