// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// Stage is a control plane of a suite's own, and what its specs talk to it with.
type Stage struct {
	Cluster *controlplane.Cluster
	// Client and Kube are an administrator's.
	Client dynamic.Interface
	Kube   kubernetes.Interface
	// Admin runs commands as an administrator, 'holdfast' among them.
	Admin Runner

	ends []func() error
}

// NewStage starts a control plane. Nothing is installed in it yet.
func NewStage(ctx context.Context, options controlplane.Options) (*Stage, error) {
	binary, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := controlplane.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	// Warnings are for people; in a suite there would be hundreds.
	cluster.Config.WarningHandler = rest.NoWarnings{}
	s := &Stage{
		Cluster: cluster, Admin: Runner{Cluster: cluster, Kubeconfig: cluster.Kubeconfig, Binary: binary},
		ends: []func() error{cluster.Stop},
	}
	if s.Client, err = dynamic.NewForConfig(cluster.Config); err == nil {
		s.Kube, err = kubernetes.NewForConfig(cluster.Config)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make clients: %w", err), s.Stop())
	}
	return s, nil
}

// Install is Install into this control plane. The process ends with the stage.
func (s *Stage) Install(ctx context.Context, options Options) (*Holdfast, error) {
	h, err := Install(ctx, s.Cluster, options)
	if err != nil {
		return nil, err
	}
	s.ends = append(s.ends, h.Stop)
	return h, nil
}

// InstallReplicas is InstallReplicas into this control plane. The processes end
// with the stage.
func (s *Stage) InstallReplicas(ctx context.Context, options Options, n int) (*Replicas, error) {
	r, err := InstallReplicas(ctx, s.Cluster, options, n)
	if err != nil {
		return nil, err
	}
	s.ends = append(s.ends, r.Stop)
	return r, nil
}

// Stop ends everything, what was started last first.
func (s *Stage) Stop() error {
	var errs []error
	for len(s.ends) > 0 {
		last := len(s.ends) - 1
		errs = append(errs, s.ends[last]())
		s.ends = s.ends[:last]
	}
	return errors.Join(errs...)
}
