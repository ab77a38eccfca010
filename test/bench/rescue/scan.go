// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// shop is the namespace of the guarded objects.
const shop = "shop"

// measureScan measures 'recovery scan' of a cluster with n guarded objects of
// some 2.5 KB each.
func measureScan(ctx context.Context, admin harness.Runner, n int) ([]string, error) {
	if err := harness.LoadNuoDBCRDs(ctx, admin); err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(admin.Cluster.Config)
	if err != nil {
		return nil, err
	}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range n {
		group.Go(func() error {
			_, err := client.Resource(harness.Tiers()).Namespace(shop).Create(creating, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
				"metadata": map[string]any{"name": fmt.Sprintf("tier-%d", i), "annotations": map[string]any{"note": strings.Repeat("0123456789abcdef ", 140)}},
				"spec":     map[string]any{"features": []any{}},
			}}, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var took []time.Duration
	var memory int64
	for range 5 {
		cmd := exec.CommandContext(ctx, admin.Binary, "recovery", "scan", "-o", "name")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+admin.Kubeconfig)
		began := time.Now()
		text, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			return nil, fmt.Errorf("%w: %s", err, text)
		}
		took = append(took, time.Since(began))
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			memory = max(memory, usage.Maxrss)
		}
	}
	slices.Sort(took)
	return []string{
		row(fmt.Sprintf("scan of %d guarded objects, median of %d", n, len(took)), took[len(took)/2].Round(time.Millisecond).String(), "under 5 s"),
		row(fmt.Sprintf("memory of a scan of %d guarded objects", n), fmt.Sprintf("%d MiB", memory/1024), "bounded"),
	}, nil
}
