// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package approvals tests on a real API server, with two replicas, the ways past
// a refusal: approvals, modes, a pause, and the exit when everything is dead.
package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var (
	cluster  *controlplane.Cluster
	replicas *harness.Replicas
	kube     kubernetes.Interface
	admin    harness.Runner
)

func TestApprovals(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Approvals")
}

// audited and eyes are kinds whose profiles differ from the built-in one.
const otherProfiles = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: eyes}
spec:
  requireDistinctApprover: true
  resources:
  - {resource: vaults.eyes.example, referencedBy: [{resource: keys.eyes.example, path: '{.spec.vault}'}]}
---
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: audited}
spec:
  mode: audit
  resources:
  - {resource: drafts.audited.example, referencedBy: [{resource: notes.audited.example, path: '{.spec.draft}'}]}
`

const otherRights = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: holdfast-others, labels: {holdfast.dev/aggregate-to-serve: "true"}}
rules:
- {apiGroups: [eyes.example], resources: [vaults, keys], verbs: [get, list, watch]}
- {apiGroups: [audited.example], resources: [drafts, notes], verbs: [get, list, watch]}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{AuditLog: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	kube, err = kubernetes.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	replicas, err = harness.InstallReplicas(ctx, cluster, harness.Options{
		Profiles: []string{"nuodb"}, ProfileFiles: map[string]string{"others.yaml": otherProfiles},
	}, 2)
	Expect(err).NotTo(HaveOccurred())
	admin = replicas.Each[0].Admin()
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Apply(ctx, admin, otherRights)
	for _, kind := range []string{"eyes.example Vault vaults", "eyes.example Key keys", "audited.example Draft drafts", "audited.example Note notes"} {
		words := strings.Fields(kind)
		define(ctx, words[0], words[1], words[2])
	}
	Expect(replicas.Start(ctx)).To(Succeed())
	DeferCleanup(func() { Expect(replicas.Stop()).To(Succeed()) })
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := replicas.Logs()
		AddReportEntry("logs of holdfast", fmt.Sprint(err, "\n", log))
	}
})

func define(ctx context.Context, group, kind, plural string) {
	GinkgoHelper()
	must.Apply(ctx, admin, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[3]s.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[2]s, plural: %[3]s, singular: %[4]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, group, kind, plural, strings.ToLower(kind)))
	must.Succeed(admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", plural+"."+group))
}

// newNamespace has a tier "used" that a database uses.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := must.Namespace(ctx, admin, "house")
	newTier(ctx, name)
	return name
}

func newTier(ctx context.Context, namespace string) {
	GinkgoHelper()
	must.Create(ctx, admin, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: used}, spec: {}}")
	must.Apply(ctx, admin, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: user, namespace: "+namespace+"}, spec: {type: {tierRef: {name: used}}}}")
}

// approve runs 'holdfast approve' for what is in namespace and returns the
// approval's name.
func approve(ctx context.Context, who harness.Runner, args ...string) string {
	GinkgoHelper()
	r := who.Holdfast(ctx, append([]string{"approve", "--reason", "for the test", "-o", "name"}, args...)...)
	must.Succeed(r)
	name, found := strings.CutPrefix(strings.TrimSpace(r.Stdout), "deletionapproval.holdfast.dev/")
	Expect(found).To(BeTrue(), r.Stdout)
	return name
}

type approval struct {
	Metadata metav1.ObjectMeta
	Spec     map[string]string
	Status   struct {
		ConsumedAt             *metav1.Time
		ConsumedBy, RequestUID string
	}
}

func read(ctx context.Context, name string) approval {
	GinkgoHelper()
	r := admin.Kubectl(ctx, "get", "deletionapproval", name, "-o", "json")
	must.Succeed(r)
	var a approval
	Expect(json.Unmarshal([]byte(r.Stdout), &a)).To(Succeed())
	return a
}

// deleteTier deletes the tier "used" as a user.
func deleteTier(ctx context.Context, namespace, user string, options metav1.DeleteOptions) error {
	config := rest.CopyConfig(cluster.Config)
	config.WarningHandler = rest.NoWarnings{}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters", "system:authenticated"}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	return client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", options)
}

// message is what the API server says to a request that is forbidden.
func message(err error) string {
	GinkgoHelper()
	Expect(err).To(HaveOccurred())
	var status apierrors.APIStatus
	Expect(errors.As(err, &status)).To(BeTrue(), "%v", err)
	Expect(status.Status().Code).To(BeEquivalentTo(403), "%v", err)
	return status.Status().Message
}

func as(user string) []string {
	return []string{"--as", user, "--as-group", "system:masters", "--as-group", "system:authenticated"}
}
