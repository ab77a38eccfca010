// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Command controlplane runs etcd, kube-apiserver and kube-controller-manager on
// loopback until its standard input closes or a signal comes, and then removes
// every trace of them. It prints one line of JSON when they are ready, and
// answers requests, a line of JSON each, on its standard input. Linux only.
//
//	go run ./test/controlplane/cmd/controlplane -bin "$(test/controlplane/build.sh)"
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// words is a flag that may be given several times.
type words []string

func (w *words) String() string { return strings.Join(*w, " ") }

// Set adds one value.
func (w *words) Set(value string) error {
	*w = append(*w, value)
	return nil
}

func main() {
	if name := filepath.Base(os.Args[0]); slices.Contains(processes(), name) {
		fmt.Fprintln(os.Stderr, "controlplane:", become(name))
		os.Exit(1)
	}
	var p plane
	var apiServer, controllerManager words
	flag.StringVar(&p.bin, "bin", "", "folder with etcd, kube-apiserver and kube-controller-manager")
	flag.StringVar(&p.logs, "logs", "", "folder for the logs; by default it is removed at the end")
	flag.BoolVar(&p.audit, "audit-log", false, "keep an audit log")
	flag.Var(&apiServer, "api-server-flag", "further `--flag=value` of kube-apiserver; may be repeated")
	flag.Var(&controllerManager, "controller-manager-flag", "further `--flag=value` of kube-controller-manager; may be repeated")
	flag.Parse()
	p.apiServerFlags, p.controllerManagerFlags = apiServer, controllerManager

	// A write to a test that is gone must fail, not end the clean-up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) //nolint:forbidigo // a process starts from an empty context
	err := p.serve(ctx, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}
