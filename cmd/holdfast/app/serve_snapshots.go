// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// newSnapshots is a store whose Secrets travel as protobuf: somebody waits for
// each write, and JSON would have their data in base64.
func newSnapshots(o *serveOptions) (*snapshot.Store, error) {
	config := rest.CopyConfig(o.restConfig)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(o.restConfig))
	if err != nil {
		return nil, err
	}
	return snapshot.NewStore(kube, meta, o.namespace, time.Now)
}
