// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"os"

	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/holdfast-dev/holdfast/webhook/events"
)

// newRecorder writes Events about decisions, beside them.
func newRecorder(o *serveOptions, mgr ctrl.Manager) (*events.Recorder, error) {
	counts, err := events.NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	client, err := typedcorev1.NewForConfigAndClient(o.restConfig, mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	recorder := events.NewRecorder(client, o.namespace, host, counts)
	return recorder, mgr.Add(everyReplica(recorder.Start))
}
