// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane starts a real Kubernetes control plane for tests: etcd,
// kube-apiserver and kube-controller-manager with per-controller service
// accounts, on loopback and free ports. There are no nodes, so Pods are never
// run; everything that the API server and the controllers do by themselves
// (admission, RBAC, tokens, garbage collection, namespaces, aggregated roles)
// is the real thing.
//
//	cluster, err := controlplane.Start(ctx, controlplane.Options{})
//	defer cluster.Stop()
//	client, err := kubernetes.NewForConfig(cluster.Config)
//
// The processes are children of a supervisor (cmd/controlplane), which ends
// them and removes their files as soon as its standard input closes. So nothing
// is left behind when a test panics, is interrupted or is killed.
//
// The garbage collector looks for new resources every 30 s: objects of a CRD
// younger than that are not collected yet. RestartControllerManager makes it
// look at once.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options say what to start. The zero value is a control plane as most clusters
// have it.
type Options struct {
	// APIServerFlags are further flags of kube-apiserver, such as
	// "--default-watch-cache-size=0"; one that is set already is replaced.
	APIServerFlags []string
	// ControllerManagerFlags are further flags of kube-controller-manager.
	ControllerManagerFlags []string
	// AuditLog keeps a record of every request, without bodies, in
	// Cluster.AuditLog.
	AuditLog bool
	// Logs is a folder for the logs of the processes. By default they are in
	// the cluster's own folder and go with it.
	Logs string
}

// Cluster is a running control plane.
type Cluster struct {
	// Config is that of an administrator, and does not limit the rate of requests.
	Config *rest.Config
	// Kubeconfig is a file for the same administrator.
	Kubeconfig string
	// Bin is a folder with kubectl, helm3 and helm4.
	Bin string
	// Dir is the cluster's folder; Stop removes it.
	Dir string
	// Logs is a folder with a log for each process.
	Logs string
	// AuditLog is the file with an audit event for each request; empty unless
	// asked for.
	AuditLog string

	supervisor *supervisor
}

// Start brings up a control plane and returns when its API server answers and
// its controllers run. The context bounds the start alone.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	s, first, err := startSupervisor(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	c := &Cluster{
		Kubeconfig: first.Kubeconfig, Bin: first.Bin, Dir: first.Dir,
		Logs: first.Logs, AuditLog: first.AuditLog, supervisor: s,
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, errors.Join(fmt.Errorf("start control plane: %w", err), c.Stop())
	}
	// A test waits for the server, never for its own client's rate limit.
	c.Config.QPS, c.Config.Burst = 1000, 2000
	return c, nil
}

// Stop ends all processes at once and removes their files. Stopping a stopped
// cluster does nothing.
func (c *Cluster) Stop() error {
	err := c.supervisor.stop()
	// The supervisor has removed it, unless it was killed itself.
	return errors.Join(err, os.RemoveAll(c.Dir))
}

// KillAPIServer ends kube-apiserver with SIGKILL; what etcd holds stays.
func (c *Cluster) KillAPIServer() error {
	_, err := c.supervisor.ask(Request{Do: "kill-api-server"})
	return err
}

// StartAPIServer runs kube-apiserver again, on the same port and with the same
// certificates, and returns when it is healthy.
func (c *Cluster) StartAPIServer() error {
	_, err := c.supervisor.ask(Request{Do: "start-api-server"})
	return err
}

// RestartControllerManager ends kube-controller-manager and runs it again,
// which makes the garbage collector see resources that are new.
func (c *Cluster) RestartControllerManager() error {
	_, err := c.supervisor.ask(Request{Do: "restart-controller-manager"})
	return err
}
