// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// envVictim makes this program start a control plane, say where it is, and
// wait to be killed.
const envVictim = "HOLDFAST_TEST_CONTROLPLANE_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(envVictim) == "" {
		os.Exit(m.Run())
	}
	cluster, err := controlplane.Start(context.Background(), controlplane.Options{}) //nolint:forbidigo // this is a process of its own
	if err != nil {
		panic(err)
	}
	ready := controlplane.Ready{Dir: cluster.Dir, Logs: cluster.Logs, Bin: cluster.Bin, Kubeconfig: cluster.Kubeconfig}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		panic(err)
	}
	// Nothing else may run here, and a process in which everything sleeps is
	// ended by its runtime.
	forever := make(chan os.Signal, 1)
	signal.Notify(forever, syscall.SIGUSR1)
	<-forever
	// Collected before, it would close the supervisor's input, which ends it.
	runtime.KeepAlive(cluster)
}
