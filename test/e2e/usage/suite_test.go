// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package usage tests on a real API server that the reference index lets
// nothing pass that is in use, whatever happens to its connections, to the
// definitions of the kinds that it follows, and to its rights.
package usage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

// What all specs share; BeforeSuite sets it. Each spec has kinds of its own.
var (
	cluster     *controlplane.Cluster
	client      dynamic.Interface
	definitions apiextensions.Interface
	namesake    int
)

// decisionTime is how long a decision may take: the webhook's timeout is 5 s.
const decisionTime = 4500 * time.Millisecond

func TestUsage(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Usage")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client = stage.Cluster, stage.Client
	definitions, err = apiextensions.NewForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
})

// kinds are the resources of one spec: plans are guarded, and referred to by
// subscriptions and invoices.
type kinds struct{ group string }

func newKinds() kinds {
	namesake++
	return kinds{fmt.Sprintf("g%d.example", namesake)}
}

func (k kinds) gvr(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: "v1", Resource: plural}
}

func (k kinds) profiles() *profile.Set {
	GinkgoHelper()
	parsed, err := profile.Parse([]byte(strings.ReplaceAll(`apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: plans}
spec:
  resources:
  - resource: plans.GROUP
    referencedBy:
    - {resource: subscriptions.GROUP, path: '{.spec.plan}'}
    - {resource: invoices.GROUP, path: '{.spec.plan}'}
  - resource: taxes.GROUP
    referencedBy:
    - {resource: invoices.GROUP, path: '{.spec.tax}'}
`, "GROUP", k.group)))
	Expect(err).NotTo(HaveOccurred())
	set, err := profile.NewSet(parsed...)
	Expect(err).NotTo(HaveOccurred())
	return set
}

// define installs a kind; change may alter its definition first.
func (k kinds) define(ctx context.Context, plural string, change ...func(*apiextensionsv1.CustomResourceDefinition)) {
	GinkgoHelper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	Expect(yaml.Unmarshal([]byte(strings.NewReplacer("GROUP", k.group, "PLURAL", plural).Replace(`
metadata: {name: PLURAL.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: kind-PLURAL, listKind: list-PLURAL, plural: PLURAL, singular: PLURAL-one}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {plan: {type: string}}}}}}
`)), crd)).To(Succeed())
	for _, c := range change {
		c(crd)
	}
	_, err := definitions.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	k.served(ctx, plural)
}

// served waits until the kind can be listed.
func (k kinds) served(ctx context.Context, plural string) {
	GinkgoHelper()
	Eventually(func() error {
		_, err := client.Resource(k.gvr(plural)).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	}).Should(Succeed())
}

// undefine removes a kind and waits until it is gone.
func (k kinds) undefine(ctx context.Context, plural string) {
	GinkgoHelper()
	crds := definitions.ApiextensionsV1().CustomResourceDefinitions()
	Expect(crds.Delete(ctx, plural+"."+k.group, metav1.DeleteOptions{})).To(Succeed())
	Eventually(func() bool {
		_, err := crds.Get(ctx, plural+"."+k.group, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}).Should(BeTrue())
}

func (k kinds) create(ctx context.Context, plural, name, plan string) {
	GinkgoHelper()
	Expect(k.tryCreate(ctx, plural, name, plan)).To(Succeed())
}

func (k kinds) tryCreate(ctx context.Context, plural, name, plan string) error {
	_, err := client.Resource(k.gvr(plural)).Namespace("default").Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": k.group + "/v1", "kind": "kind-" + plural, "metadata": map[string]any{"name": name},
		"spec": map[string]any{"plan": plan},
	}}, metav1.CreateOptions{})
	return err
}

func (k kinds) remove(ctx context.Context, plural, name string) {
	GinkgoHelper()
	Expect(client.Resource(k.gvr(plural)).Namespace("default").Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
}

// fill creates n subscriptions that name a plan nobody asks about.
func (k kinds) fill(ctx context.Context, n int) {
	GinkgoHelper()
	var all sync.WaitGroup
	numbers := make(chan int)
	errs := make(chan error, 32)
	for range cap(errs) {
		all.Go(func() {
			for i := range numbers {
				if err := k.tryCreate(ctx, "subscriptions", fmt.Sprintf("s%06d", i), "other"); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	all.Wait()
	close(errs)
	Expect(<-errs).NotTo(HaveOccurred())
}

func (k kinds) plan(name string) guard.Target {
	return guard.Target{Resource: k.gvr("plans").GroupResource(), Kind: "Plan", Namespace: "default", Name: name}
}

func (k kinds) tax(name string) guard.Target {
	return guard.Target{Resource: k.gvr("taxes").GroupResource(), Kind: "Tax", Namespace: "default", Name: name}
}

// counted are the metrics of the index that was started last.
var counted *prometheus.Registry

// proofs counts the successful proofs of that index by their method.
func proofs(method string) float64 {
	GinkgoHelper()
	families, err := counted.Gather()
	Expect(err).NotTo(HaveOccurred())
	var sum float64
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if family.GetName() == "holdfast_usage_proofs_total" && labels["method"] == method && labels["outcome"] == "proved" {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// start runs an index and returns when it is ready.
func (k kinds) start(ctx context.Context, reader, prover *rest.Config) *usage.Index {
	GinkgoHelper()
	counted = prometheus.NewRegistry()
	metrics, err := usage.NewMetrics(counted)
	Expect(err).NotTo(HaveOccurred())
	options, err := usage.OptionsFor(reader, prover, k.profiles(), metrics)
	Expect(err).NotTo(HaveOccurred())
	index := usage.NewIndex(options)
	running, stop := context.WithCancel(logf.IntoContext(context.WithoutCancel(ctx), GinkgoLogr))
	done := make(chan struct{})
	go func() { defer close(done); _ = index.Start(running) }()
	DeferCleanup(func() { stop(); Eventually(done).Should(BeClosed()) })
	Eventually(func() error { return index.Ready(nil) }).Should(Succeed())
	return index
}

// ask decides about a target within the time that the webhook has.
func ask(ctx context.Context, who guard.Usage, target guard.Target) (guard.Use, error) {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, decisionTime)
	defer cancel()
	started := time.Now()
	use, err := who.Of(ctx, target, 3)
	// One that hangs would go on for the 45 s of a dead connection.
	Expect(time.Since(started)).To(BeNumerically("<", 2*decisionTime), "the decision does not end with its time")
	return use, err
}

// expectUsers fails unless so many use the target.
func expectUsers(ctx context.Context, who guard.Usage, target guard.Target, n int) {
	GinkgoHelper()
	use, err := ask(ctx, who, target)
	Expect(err).NotTo(HaveOccurred())
	Expect(use.Total).To(Equal(n), "%+v", use)
}

// proxy is a connection that can be held up.
func proxy(ctx context.Context) (*harness.Proxy, *rest.Config) {
	GinkgoHelper()
	p, config, err := harness.NewProxy(ctx, cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(p.Close()).To(Succeed()) })
	return p, config
}
