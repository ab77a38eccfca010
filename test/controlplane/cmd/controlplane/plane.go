// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout bounds the start of each process; a busy machine needs more than
// envtest's 20 s now and then.
const startTimeout = 3 * time.Minute

// plane is the control plane: what it is made of, and its running parts.
type plane struct {
	bin, logs                              string
	audit                                  bool
	apiServerFlags, controllerManagerFlags []string

	dir               string
	envtest           envtest.ControlPlane
	admin             string // kubeconfig
	controllerManager *controllerManager
}

// serve runs the control plane until the input closes or the context ends.
func (p *plane) serve(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.dir, err = os.MkdirTemp("", "holdfast-controlplane-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	requests := make(chan []byte)
	go readLines(ctx, in, requests, cancel)

	started := make(chan struct{})
	go func() {
		defer close(started)
		err = p.start(ctx)
	}()
	select {
	case <-started:
		if err == nil {
			err = p.answer(ctx, requests, out)
		}
		return errors.Join(err, p.stop())
	case <-ctx.Done():
		// The start is between two processes, perhaps: end whatever comes up
		// until it notices.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-started:
				return p.stop()
			case <-tick.C:
				if err := kill(""); err != nil {
					return err
				}
			}
		}
	}
}

func (p *plane) start(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	etcdLog, err := p.logFile("etcd")
	if err != nil {
		return err
	}
	apiServerLog, err := p.logFile("kube-apiserver")
	if err != nil {
		return err
	}
	p.envtest = envtest.ControlPlane{
		Etcd: &envtest.Etcd{
			Path: filepath.Join(p.dir, "bin", "etcd"), DataDir: filepath.Join(p.dir, "etcd"),
			StartTimeout: startTimeout, Out: etcdLog, Err: etcdLog,
		},
		APIServer: &envtest.APIServer{
			Path: filepath.Join(p.dir, "bin", "kube-apiserver"), CertDir: filepath.Join(p.dir, "certs"),
			StartTimeout: startTimeout, Out: apiServerLog, Err: apiServerLog,
		},
		KubectlPath: filepath.Join(p.bin, "kubectl"),
	}
	if err := p.configureAPIServer(); err != nil {
		return err
	}
	if err := p.envtest.Start(); err != nil {
		return fmt.Errorf("%w; the logs end with: %s", err, p.lastWords())
	}
	if p.admin, err = p.addUser("admin", []string{"system:masters"}); err != nil {
		return err
	}
	return p.startControllerManager(ctx)
}

// prepare makes the folders and the links that the processes are started through.
func (p *plane) prepare() error {
	if p.logs == "" {
		p.logs = filepath.Join(p.dir, "logs")
	}
	for _, dir := range []string{p.logs, filepath.Join(p.dir, "bin"), filepath.Join(p.dir, "etcd"), filepath.Join(p.dir, "certs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	for _, name := range processes() {
		if _, err := os.Stat(filepath.Join(p.bin, name)); err != nil {
			return fmt.Errorf("find binaries: %w; -bin takes what test/controlplane/build.sh prints", err)
		}
		if err := os.Symlink(self, filepath.Join(p.dir, "bin", name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	bin, err := filepath.Abs(p.bin)
	if err != nil {
		return fmt.Errorf("find binaries: %w", err)
	}
	p.bin = bin
	return errors.Join(os.Setenv(envBin, bin), os.Setenv(envSupervisor, strconv.Itoa(os.Getpid())))
}

// auditPolicy records every request once, without bodies.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

func (p *plane) configureAPIServer() error {
	args := p.envtest.APIServer.Configure()
	// envtest switches ServiceAccount off, because it runs no controllers.
	args.Disable("disable-admission-plugins")
	// Nobody connects from elsewhere, and a machine without a network has no
	// address that could be advertised.
	args.Set("advertise-address", "127.0.0.1")
	args.Set("endpoint-reconciler-type", "none")
	if p.audit {
		file := filepath.Join(p.dir, "audit-policy.yaml")
		if err := os.WriteFile(file, []byte(auditPolicy), 0o600); err != nil {
			return fmt.Errorf("write audit policy: %w", err)
		}
		args.Set("audit-policy-file", file)
		args.Set("audit-log-path", p.auditLog())
	}
	for _, f := range p.apiServerFlags {
		name, value, found := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		if !found {
			return fmt.Errorf("flag %q of kube-apiserver: write it as --name=value", f)
		}
		args.Set(name, value)
	}
	return nil
}

func (p *plane) auditLog() string {
	if !p.audit {
		return ""
	}
	return filepath.Join(p.logs, "audit.log")
}

// logFile opens the log of a process for appending: a process that is run
// again goes on with it.
func (p *plane) logFile(name string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(p.logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

// lastWords are the ends of all logs, on one line.
func (p *plane) lastWords() string {
	var all []string
	for _, name := range processes() {
		text, err := os.ReadFile(filepath.Join(p.logs, name+".log"))
		if err != nil || len(text) == 0 {
			continue // it has not been started
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		all = append(all, name+": "+strings.Join(lines[max(0, len(lines)-3):], " | "))
	}
	return strings.Join(all, "; ")
}

// stop ends everything at once and removes the folder.
func (p *plane) stop() error {
	err := kill("")
	// They are dead: this only waits for them, so that nothing writes any more.
	_ = p.envtest.Stop()
	if p.controllerManager != nil {
		p.controllerManager.wait()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
