// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package rescue tests on a real API server, with the garbage collector running,
// that an Astarte that hangs Terminating after its operator was uninstalled is
// brought back without any loss.
package rescue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const (
	astartes = "astartes.api.astarte-platform.org"
	// house is the namespace of Astartes, operators that of their operator.
	house, operators = "astarte", "operators"
)

// What all specs share; BeforeSuite sets it.
var (
	stage    *harness.Stage
	holdfast *harness.Holdfast
)

func TestMain(m *testing.M) {
	if text := os.Getenv(victimJob); text != "" {
		os.Exit(victim(text))
	}
	os.Exit(m.Run())
}

func TestRescue(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Rescue")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	stage, err = harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	stage.Admin.Timeout = 5 * time.Minute
	for _, namespace := range []string{house, operators} {
		must.Succeed(stage.Admin.Kubectl(ctx, "create", "namespace", namespace))
	}
	holdfast, err = stage.Install(ctx, harness.Options{
		Profiles: []string{"astarte", "nuodb"},
		Values:   map[string]any{"continuousBackup": true, "secretNamespaces": []string{house, operators}},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, stage.Admin)).To(Succeed())
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := holdfast.Logs()
		AddReportEntry("log of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// guard runs Holdfast, until bypass takes it away.
func guard(ctx context.Context) {
	GinkgoHelper()
	if !holdfast.Running() {
		Expect(holdfast.Start(ctx)).To(Succeed())
	}
}

// bypass takes Holdfast away with all that it has registered.
func bypass(ctx context.Context) {
	GinkgoHelper()
	Expect(holdfast.Stop()).To(Succeed())
	for _, kind := range []string{"validatingwebhookconfigurations", "validatingadmissionpolicybindings", "validatingadmissionpolicies"} {
		list := stage.Admin.Kubectl(ctx, "get", kind, "-o", "name")
		must.Succeed(list)
		for name := range strings.Lines(list.Stdout) {
			if _, own, _ := strings.Cut(strings.TrimSpace(name), "/"); strings.HasPrefix(own, "holdfast") {
				must.Succeed(stage.Admin.Kubectl(ctx, "delete", strings.TrimSpace(name)))
			}
		}
	}
	// Admission learns of it by watches, of webhooks and of policies apart.
	for _, what := range []string{"crd/servicetiers.cp.nuodb.com", "namespace/" + operators} {
		Eventually(func() string {
			return stage.Admin.Kubectl(ctx, "delete", what, "--dry-run=server").Stderr
		}).Should(BeEmpty())
	}
}

// house's operator, installed by Helm, with one Astarte that is complete.
type place struct {
	*standin.Installed
	// helm is the Helm that installs it, or plain where none does.
	helm string
	// before is what there was of each Astarte, and what belonged to it.
	before map[string]*unstructured.Unstructured
	kept   []kept
	// keys are the contents of the Secrets of Flows, which go with these at once.
	keys map[string]any
}

// kept is an object that must not change, and its content if it is a Secret.
type kept struct {
	resource schema.GroupVersionResource
	name     string
	uid      string
	data     any
}

func keptKinds() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Version: "v1", Resource: "secrets"},
		{Version: "v1", Resource: "configmaps"},
		{Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "persistentvolumeclaims"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "statefulsets"},
	}
}

// settle installs the operator and creates Astartes.
func settle(ctx SpecContext, shape standin.Shape, helm string, names ...string) *place {
	GinkgoHelper()
	installed, err := standin.NewInstalled(ctx, stage.Cluster, shape, operators)
	Expect(err).NotTo(HaveOccurred())
	p := &place{Installed: installed, helm: helm, before: map[string]*unstructured.Unstructured{}, keys: map[string]any{}}
	DeferCleanup(p.clear)
	p.install(ctx)
	for _, name := range names {
		operator := &standin.Operator{Shape: shape}
		Eventually(func() error { return operator.CreateAstarte(ctx, stage.Admin, house, name) }).Should(Succeed())
		Eventually(func(g Gomega) {
			a, err := stage.Client.Resource(shape.Astartes()).Namespace(house).Get(ctx, name, metav1.GetOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(a.GetFinalizers()).To(ContainElement(standin.Finalizer))
			version, _, _ := unstructured.NestedString(a.Object, "status", "astarteVersion")
			g.Expect(version).To(Equal(shape.Version))
			_, err = stage.Client.Resource(keptKinds()[0]).Namespace(house).Get(ctx, name+"-flow-"+name+"-flow-block-0", metav1.GetOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			p.before[name] = a
		}).Should(Succeed())
	}
	// The garbage collector looks for kinds every 30 s, and at its start.
	Expect(stage.Cluster.RestartControllerManager()).To(Succeed())
	for _, gvr := range keptKinds() {
		list, err := stage.Client.Resource(gvr).Namespace(house).List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, o := range list.Items {
			switch { // what has no finalizer goes with its definition
			case gvr.Resource == "secrets" && strings.Contains(o.GetName(), "-flow-"):
				p.keys[o.GetName()] = o.Object["data"]
				continue
			case strings.Contains(o.GetName(), "-adi-"):
				continue
			}
			p.kept = append(p.kept, kept{gvr, o.GetName(), string(o.GetUID()), o.Object["data"]})
		}
	}
	Expect(len(p.kept)).To(BeNumerically(">", 35*len(names)))
	Expect(p.keys).To(HaveLen(len(names)))
	return p
}

func (p *place) install(ctx context.Context) {
	GinkgoHelper()
	if p.helm == plain {
		p.apply(ctx, true)
		return
	}
	Eventually(func() string {
		r := stage.Admin.Run(ctx, p.helm, "upgrade", "--install", standin.Release, p.Chart, "-n", operators)
		if r.Code != 0 {
			return r.Output
		}
		return ""
	}).Should(BeEmpty())
}

// plain is what people do without Helm: the manifests are applied, and deleted.
const plain = "kubectl"

// manifests are those of the operator, with its definitions or without.
func (p *place) manifests(ctx context.Context, definitions bool) string {
	GinkgoHelper()
	r := stage.Admin.Run(ctx, "helm4", "template", standin.Release, p.Chart, "-n", operators)
	must.Succeed(r)
	docs := slices.DeleteFunc(strings.Split(r.Stdout, "\n---\n"), func(doc string) bool {
		return !definitions && strings.Contains(doc, "kind: CustomResourceDefinition")
	})
	return strings.Join(docs, "\n---\n")
}

// apply applies the manifests as people do who have no Helm.
func (p *place) apply(ctx context.Context, definitions bool) {
	GinkgoHelper()
	Eventually(func() string {
		r := stage.Admin.RunInput(ctx, p.manifests(ctx, definitions), "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-")
		if r.Code != 0 {
			return r.Output
		}
		return ""
	}).Should(BeEmpty())
}

// remove takes away what install has brought.
func (p *place) remove(ctx context.Context) {
	GinkgoHelper()
	if p.helm == plain {
		must.Succeed(stage.Admin.RunInput(ctx, p.manifests(ctx, true), "kubectl", "delete", "--wait=false", "--ignore-not-found", "-f", "-"))
		return
	}
	must.Succeed(stage.Admin.Run(ctx, p.helm, "uninstall", standin.Release, "-n", operators))
}

// uninstall takes the operator away, and with its definitions all its objects;
// where the chart keeps these, somebody deletes them by hand.
func (p *place) uninstall(ctx context.Context) {
	GinkgoHelper()
	p.remove(ctx)
	for name := range strings.Lines(stage.Admin.Kubectl(ctx, "get", "crd", "-o", "name").Stdout) {
		if name = strings.TrimSpace(name); strings.Contains(name, "astarte-platform.org") {
			must.Succeed(stage.Admin.Kubectl(ctx, "delete", name, "--wait=false", "--ignore-not-found"))
		}
	}
	Eventually(func() string {
		return stage.Admin.Kubectl(ctx, "get", "crd", astartes, "-o", "jsonpath={.metadata.deletionTimestamp}").Stdout
	}).ShouldNot(BeEmpty())
	Eventually(func() string {
		return stage.Admin.Kubectl(ctx, "get", "crd", "astartedefaultingresses.ingress.astarte-platform.org", "--ignore-not-found").Stdout
	}).Should(BeEmpty())
}

// expectBack makes sure that everything is as it was.
func (p *place) expectBack(ctx context.Context) {
	GinkgoHelper()
	p.expectAstartes(ctx)
	Eventually(func(g Gomega) {
		for _, resource := range []schema.GroupVersionResource{p.Shape.Ingresses(), p.Shape.Flows()} {
			list, err := stage.Client.Resource(resource).Namespace(house).List(ctx, metav1.ListOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(list.Items).To(HaveLen(len(p.before)), resource.Resource)
		}
	}).Should(Succeed())
	for name, data := range p.keys {
		o, err := stage.Client.Resource(keptKinds()[0]).Namespace(house).Get(ctx, name, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(o.Object["data"]).To(Equal(data), "secret %s", name)
	}
}

// expectAstartes makes sure that the Astartes, and what belongs to them, are as they were.
func (p *place) expectAstartes(ctx context.Context) {
	GinkgoHelper()
	for _, k := range p.kept {
		o, err := stage.Client.Resource(k.resource).Namespace(house).Get(ctx, k.name, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(o.GetUID())).To(Equal(k.uid), "%s %s", k.resource.Resource, k.name)
		if k.resource.Resource == "secrets" {
			Expect(o.Object["data"]).To(Equal(k.data), "secret %s", k.name)
		}
	}
	for name, before := range p.before {
		Eventually(func(g Gomega) {
			after, err := stage.Client.Resource(p.Shape.Astartes()).Namespace(house).Get(ctx, name, metav1.GetOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(after.GetUID()).NotTo(Equal(before.GetUID()))
			g.Expect(after.GetDeletionTimestamp()).To(BeNil())
			g.Expect(after.Object["spec"]).To(Equal(before.Object["spec"]))
			g.Expect(after.Object["status"]).To(Equal(before.Object["status"]))
			g.Expect(after.GetFinalizers()).To(Equal(before.GetFinalizers()))
			g.Expect(after.GetAnnotations()).To(Equal(before.GetAnnotations()))
			// The operator has adopted what runs.
			set, err := stage.Kube.AppsV1().StatefulSets(house).Get(ctx, name+"-vernemq", metav1.GetOptions{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(set.OwnerReferences).To(HaveLen(1))
			g.Expect(set.OwnerReferences[0].UID).To(Equal(after.GetUID()))
		}).Should(Succeed())
	}
}

// clear leaves nothing of the place.
func (p *place) clear(ctx SpecContext) {
	bypass(ctx)
	// A spec that failed must not stop the next one.
	must.Succeed(stage.Admin.Kubectl(ctx, "delete", "secrets", "-l", "holdfast.dev/journal", "-n", holdfast.Namespace))
	Expect(os.RemoveAll(filepath.Join(stage.Cluster.Dir, "home", ".local"))).To(Succeed())
	p.install(ctx)
	must.Succeed(stage.Admin.Kubectl(ctx, "delete", astartes, "--all", "-n", house))
	p.remove(ctx)
	for name := range strings.Lines(stage.Admin.Kubectl(ctx, "get", "crd", "-o", "name").Stdout) {
		if name = strings.TrimSpace(name); strings.Contains(name, "astarte-platform.org") {
			must.Succeed(stage.Admin.Kubectl(ctx, "delete", name, "--ignore-not-found"))
		}
	}
	for _, kind := range []string{"secrets", "configmaps", "services", "deployments", "statefulsets"} {
		must.Succeed(stage.Admin.Kubectl(ctx, "delete", kind, "--all", "-n", house))
	}
	// No node ever uses a claim, so nobody takes its finalizer away.
	Eventually(func(g Gomega) {
		list, err := stage.Kube.CoreV1().PersistentVolumeClaims(house).List(ctx, metav1.ListOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		for _, c := range list.Items {
			stage.Admin.Kubectl(ctx, "delete", "pvc", c.Name, "-n", house, "--wait=false")
			stage.Admin.Kubectl(ctx, "patch", "pvc", c.Name, "-n", house, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		}
		g.Expect(list.Items).To(BeEmpty())
	}).Should(Succeed())
	p.Close()
}
