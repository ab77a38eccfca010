// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package fence tests with the real Helm 3 and Helm 4 that the release of an
// operator stays whole while instances of its definitions exist.
package fence

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var (
	stage    *harness.Stage
	holdfast *harness.Holdfast
	admin    harness.Runner
)

// operators is where the releases are; Holdfast may read them there.
const operators = "operators"

func TestFence(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Fence")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	stage, err = harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	admin = stage.Admin
	must.Succeed(admin.Kubectl(ctx, "create", "namespace", operators))
	must.Succeed(admin.Kubectl(ctx, "create", "namespace", "house"))
	holdfast, err = stage.Install(ctx, harness.Options{Profiles: []string{"astarte", "nuodb"}, Values: map[string]any{"releaseNamespaces": []string{operators}}})
	Expect(err).NotTo(HaveOccurred())
	Expect(holdfast.Start(ctx)).To(Succeed())
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// chart is the folder of the stand-in for a version of Astarte's operator.
func chart(ctx context.Context, version string, more ...string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(harness.OperatorChart(ctx, dir, version, more...)).To(Succeed())
	return dir
}

func crd(name string) string { return name + ".api.astarte-platform.org" }

// put creates the instance called one.
func put(ctx context.Context, kind string) {
	GinkgoHelper()
	spec := "{cassandra: {deploy: false}}"
	if kind != "Astarte" {
		spec = "{astarte: house}"
	}
	Eventually(func() int {
		return admin.RunInput(ctx, fmt.Sprintf("{apiVersion: api.astarte-platform.org/v1alpha2, kind: %s, metadata: {name: one, namespace: house}, spec: %s}", kind, spec), "kubectl", "apply", "--server-side", "-f", "-").Code
	}).Should(BeZero())
}

// fenced tells what the API server has been told about a release.
func fenced(ctx context.Context, namespace, name string) string {
	config, err := stage.Kube.CoreV1().ConfigMaps(holdfast.Namespace).Get(ctx, "holdfast-fence", metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return config.Data[namespace+"_"+name]
}

// closed waits until a release is fenced, and the API server knows it.
func closed(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	Eventually(func() string { return fenced(ctx, namespace, name) }).ShouldNot(BeEmpty())
	Eventually(func() string {
		return admin.Kubectl(ctx, "delete", "namespace", namespace, "--dry-run=server").Stderr
	}).Should(ContainSubstring("holdfast has fenced Helm release " + namespace + "/" + name))
}

// everything is the identity and version of every object of every resource but
// Events and Leases, and but what Holdfast keeps for itself.
func everything(ctx context.Context) map[string]string {
	GinkgoHelper()
	lists, err := discovery.ServerPreferredResources(stage.Kube.Discovery())
	if err != nil {
		Expect(discovery.IsGroupDiscoveryFailedError(err)).To(BeTrue(), "%v", err)
	}
	all := map[string]string{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		Expect(err).NotTo(HaveOccurred())
		for _, r := range list.APIResources {
			if r.Name == "events" || r.Name == "leases" || !strings.Contains(r.Verbs.String(), "list") {
				continue
			}
			objects, err := stage.Client.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			Expect(err).NotTo(HaveOccurred())
			for _, o := range objects.Items {
				if o.GetNamespace() != holdfast.Namespace {
					all[r.Name+"."+gv.Group+"/"+o.GetNamespace()+"/"+o.GetName()] = string(o.GetUID()) + " " + o.GetResourceVersion()
				}
			}
		}
	}
	return all
}

// settled is everything, once the controllers have come to rest.
func settled(ctx context.Context) map[string]string {
	GinkgoHelper()
	last := everything(ctx)
	Eventually(func() map[string]string {
		before := last
		last = everything(ctx)
		return changes(before, last)
	}).WithPolling(time.Second).Should(BeEmpty())
	return last
}

// changes are the objects that are not the same.
func changes(before, after map[string]string) map[string]string {
	found := map[string]string{}
	for name, version := range before {
		if after[name] != version {
			found[name] = version + " -> " + after[name]
		}
	}
	for name, version := range after {
		if _, ok := before[name]; !ok {
			found[name] = "new: " + version
		}
	}
	return found
}

// cleared removes all instances and the release, however a spec has left them.
func cleared(ctx context.Context, helm, namespace, name string) {
	GinkgoHelper()
	if !holdfast.Running() {
		Expect(holdfast.Start(ctx)).To(Succeed())
	}
	// Instances that their operator was taken from are not deleted otherwise.
	must.Succeed(admin.Holdfast(ctx, "pause", "--for", "10m", "--reason", "the end of a spec"))
	defer func() { must.Succeed(admin.Holdfast(ctx, "resume")) }()
	// An approval would hold for the next release of that name too.
	must.Succeed(admin.Kubectl(ctx, "delete", "deletionapprovals", "--all"))
	Eventually(func(g Gomega) {
		for _, kind := range []string{crd("astartes"), crd("astartevoyageringresses"), crd("flows")} {
			admin.Kubectl(ctx, "delete", kind, "--all", "-n", "house") // it need not be there
		}
		r := admin.Run(ctx, helm, "uninstall", name, "-n", namespace, "--ignore-not-found")
		g.Expect(r.Code).To(BeZero(), r.Stderr)
		r = admin.Kubectl(ctx, "get", "crd", "-o", "name")
		for line := range strings.Lines(r.Stdout) {
			if strings.Contains(line, "astarte-platform.org") {
				r := admin.Kubectl(ctx, "delete", strings.TrimSpace(line), "--ignore-not-found")
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}
		}
	}).WithPolling(time.Second).Should(Succeed())
}
