// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package must has the steps of a spec that only prepare something: they
// succeed, or the spec fails where it called them.
package must

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// Succeed is that the command did.
func Succeed(r harness.Result) {
	ginkgo.GinkgoHelper()
	gomega.Expect(r.Code).To(gomega.BeZero(), "%s", r.Output)
}

// Apply makes the objects of text, or changes them, whoever manages their fields.
func Apply(ctx context.Context, as harness.Runner, text string) {
	ginkgo.GinkgoHelper()
	Succeed(as.RunInput(ctx, text, "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"))
}

// Create makes the objects of text in namespace.
func Create(ctx context.Context, as harness.Runner, namespace, text string) {
	ginkgo.GinkgoHelper()
	Succeed(as.RunInput(ctx, text, "kubectl", "create", "-n", namespace, "-f", "-"))
}

var namespaces atomic.Int64

// Namespace makes an empty namespace and returns its name, which no other has
// in this process.
func Namespace(ctx context.Context, as harness.Runner, prefix string) string {
	ginkgo.GinkgoHelper()
	name := fmt.Sprintf("%s-%d", prefix, namespaces.Add(1))
	Succeed(as.Kubectl(ctx, "create", "namespace", name))
	return name
}

// Object reads one object; nil when there is none.
func Object(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	ginkgo.GinkgoHelper()
	o, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return o
}
