// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package rows goes through the table of what is refused and what is not, on a
// real API server, with Holdfast up and with Holdfast down, and counts what the
// API server asks Holdfast about.
package rows

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	holdfast *harness.Holdfast
	kube     kubernetes.Interface
	admin    harness.Runner
	namesake int
)

func TestRows(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Rows")
}

// free is a kind that no profile names.
const free = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.free.example}
spec:
  group: free.example
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	kube, admin = stage.Kube, stage.Admin
	holdfast, err = stage.Install(ctx, harness.Options{Profiles: []string{"nuodb", "astarte"}})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	put(ctx, "", free)
	put(ctx, "", astartes)
	Expect(harness.Served(ctx, stage.Cluster.Config, "widgets.free.example", "astartes.api.astarte-platform.org")).To(Succeed())
	// Without it no Astarte is deleted.
	Expect(harness.Operator{Namespace: "astarte-operator", Release: "astarte", CRDs: []string{"astartes.api.astarte-platform.org"}}.Install(ctx, admin)).To(Succeed())
	// So that the garbage collector knows the CRDs.
	Expect(stage.Cluster.RestartControllerManager()).To(Succeed())
	Expect(holdfast.Start(ctx)).To(Succeed())
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// astartes is the kind with its two versions, without the conversion webhook.
const astartes = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: astartes.api.astarte-platform.org}
spec:
  group: api.astarte-platform.org
  scope: Namespaced
  names: {kind: Astarte, plural: astartes, singular: astarte}
  versions:
  - {name: v1alpha2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// newNamespace makes an empty namespace and returns its name.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namesake++
	name := fmt.Sprintf("row-%d", namesake)
	expectDone(admin.Kubectl(ctx, "create", "namespace", name))
	return name
}

// put creates objects of YAML text in which NS stands for the namespace.
func put(ctx context.Context, namespace, text string) {
	GinkgoHelper()
	args := []string{"create", "-f", "-"}
	if namespace != "" {
		args = append(args, "-n", namespace)
	}
	expectDone(admin.RunInput(ctx, strings.ReplaceAll(text, "NS", namespace), "kubectl", args...))
}

// expectDone fails unless the command succeeded.
func expectDone(r harness.Result) {
	GinkgoHelper()
	Expect(r.Code).To(BeZero(), "%s%s", r.Stdout, r.Stderr)
}
