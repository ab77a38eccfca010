// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// controllerManager is one run of kube-controller-manager.
type controllerManager struct {
	ended chan struct{}
	err   error // how it ended; read it only after ended is closed
}

func (c *controllerManager) wait() { <-c.ended }

// startControllerManager runs kube-controller-manager and returns when its
// controllers do.
func (p *plane) startControllerManager(ctx context.Context) error {
	ca := filepath.Join(p.dir, "certs", "server-ca.crt")
	if err := os.WriteFile(ca, p.envtest.APIServer.CA, 0o600); err != nil {
		return fmt.Errorf("write certificate of the API server: %w", err)
	}
	kubeconfig, err := p.addUser("system:kube-controller-manager", nil)
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--root-ca-file=" + ca,
		"--service-account-private-key-file=" + filepath.Join(p.dir, "certs", "sa-signer.key"),
		// As in real clusters: every controller is a user of its own.
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500", "--kube-api-burst=1000",
	}
	log, err := p.logFile("kube-controller-manager")
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor, and nothing was written through this one
	// The context bounds the start, not the life of the process.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(p.dir, "bin", "kube-controller-manager"), append(args, p.controllerManagerFlags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w", err)
	}
	run := &controllerManager{ended: make(chan struct{})}
	p.controllerManager = run
	go func() {
		run.err = cmd.Wait()
		close(run.ended)
	}()
	return p.awaitControllers(ctx)
}

// awaitControllers returns when the controllers do their work: the namespace
// "default" has its service account, and the garbage collector has removed an
// object whose owner does not exist.
func (p *plane) awaitControllers(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", p.admin)
	if err != nil {
		return fmt.Errorf("wait for controllers: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("wait for controllers: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	maps := client.CoreV1().ConfigMaps("default")
	orphan, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		GenerateName:    "holdfast-test-orphan-",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "none", UID: uuid.NewUUID()}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("wait for controllers: %w", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, orphanErr := maps.Get(ctx, orphan.Name, metav1.GetOptions{})
		_, accountErr := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(orphanErr) && accountErr == nil {
			return nil
		}
		select {
		case <-p.controllerManager.ended:
			return fmt.Errorf("kube-controller-manager ended (%w); the logs end with: %s", p.controllerManager.err, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("wait for controllers: %w; the logs end with: %s", ctx.Err(), p.lastWords())
		case <-tick.C:
		}
	}
}
