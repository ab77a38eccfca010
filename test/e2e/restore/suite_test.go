// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package restore tests on a real API server, with garbage collector and both
// Helms, that what is gone comes back: releases, sets, and a whole Astarte.
package restore

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const holdfastNamespace = "holdfast-system"

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	cluster *controlplane.Cluster
	client  dynamic.Interface
	kube    kubernetes.Interface
	admin   harness.Runner
	store   *snapshot.Store
	// early is what is looked at again at the end.
	early *lasting
)

func TestRestore(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Restore")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client, kube, admin = stage.Cluster, stage.Client, stage.Kube, stage.Admin
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())
	store, err = snapshot.NewStore(kube, meta, holdfastNamespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	must.Succeed(admin.Kubectl(ctx, "create", "namespace", holdfastNamespace))
	Expect(store.Prepare(ctx)).To(Succeed())
	early = begin(ctx)
})

var _ = AfterSuite(func(ctx SpecContext) {
	if early != nil {
		early.end(ctx)
	}
})

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// save takes a snapshot of an object as it is, and gives its ID.
func save(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) string {
	GinkgoHelper()
	o := must.Object(ctx, client, gvr, namespace, name)
	Expect(o).NotTo(BeNil(), "%s %s/%s", gvr.Resource, namespace, name)
	record, err := store.Save(ctx, gvr.GroupResource(), o, snapshot.Provenance{Operation: "record"})
	Expect(err).NotTo(HaveOccurred())
	return record.ID
}

// saveReleases takes snapshots of all Secrets in which Helm keeps releases of a namespace.
func saveReleases(ctx context.Context, namespace string) {
	GinkgoHelper()
	list, err := kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	Expect(err).NotTo(HaveOccurred())
	for i := range list.Items {
		save(ctx, core("secrets"), namespace, list.Items[i].Name)
	}
}
