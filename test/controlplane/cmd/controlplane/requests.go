// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// readLines sends the lines of the input, and ends the program with its end.
func readLines(ctx context.Context, in io.Reader, lines chan<- []byte, end context.CancelFunc) {
	defer end()
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		select {
		case lines <- line:
		case <-ctx.Done():
			return
		}
	}
}

// answer says that the control plane is ready, and then answers requests until
// the context ends.
func (p *plane) answer(ctx context.Context, requests <-chan []byte, out io.Writer) error {
	answers := json.NewEncoder(out)
	err := answers.Encode(controlplane.Ready{
		Dir: p.dir, Logs: p.logs, Bin: p.bin, Kubeconfig: p.admin, AuditLog: p.auditLog(),
	})
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-requests:
			var request controlplane.Request
			var response controlplane.Response
			err := json.Unmarshal(line, &request)
			if err == nil {
				response.Kubeconfig, err = p.do(ctx, request)
			}
			if err != nil {
				response.Error = err.Error()
			}
			if err := answers.Encode(response); err != nil && ctx.Err() == nil {
				return fmt.Errorf("write answer: %w", err)
			}
		}
	}
}

// do carries out one request; the kubeconfig is that of the user it made.
func (p *plane) do(ctx context.Context, request controlplane.Request) (kubeconfig string, err error) {
	switch request.Do {
	case "user":
		return p.addUser(request.Name, request.Groups)
	case "kill-api-server":
		if err := kill("kube-apiserver"); err != nil {
			return "", err
		}
		// This only waits for its end: stopping what is dead succeeds.
		return "", p.envtest.APIServer.Stop()
	case "start-api-server":
		if err := p.envtest.APIServer.Start(); err != nil {
			return "", fmt.Errorf("%w; the logs end with: %s", err, p.lastWords())
		}
		return "", nil
	case "restart-controller-manager":
		if err := kill("kube-controller-manager"); err != nil {
			return "", err
		}
		p.controllerManager.wait()
		return "", p.startControllerManager(ctx)
	default:
		return "", fmt.Errorf("unknown request %q", request.Do)
	}
}

// addUser makes a client certificate and returns a kubeconfig with it.
func (p *plane) addUser(name string, groups []string) (string, error) {
	user, err := p.envtest.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return "", fmt.Errorf("make user %q: %w", name, err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("make user %q: %w", name, err)
	}
	readable := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '-'
	}, name)
	file, err := os.CreateTemp(p.dir, readable+"-*.kubeconfig")
	if err != nil {
		return "", fmt.Errorf("make user %q: %w", name, err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("make user %q: %w", name, err)
	}
	return file.Name(), nil
}
