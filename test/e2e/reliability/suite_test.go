// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package reliability tests on a real API server, with two replicas, that
// nothing is lost: under random operations, under kill -9, and while kinds come
// and go. HOLDFAST_RELIABILITY=1 takes the long counts.
package reliability

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// What all specs share; BeforeSuite sets it. Each spec has namespaces of its own.
var (
	cluster  *controlplane.Cluster
	replicas *harness.Replicas
	client   dynamic.Interface
	kube     kubernetes.Interface
	store    *snapshot.Store
	admin    harness.Runner
)

func TestReliability(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(15 * time.Second)
	SetDefaultEventuallyPollingInterval(25 * time.Millisecond)
	RunSpecs(t, "Reliability")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	stage, err := harness.NewStage(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stage.Stop()).To(Succeed()) })
	cluster, client, kube, admin = stage.Cluster, stage.Client, stage.Kube, stage.Admin
	meta, err := metadata.NewForConfig(metadata.ConfigFor(cluster.Config))
	Expect(err).NotTo(HaveOccurred())

	replicas, err = stage.InstallReplicas(ctx, harness.Options{
		Profiles:     []string{"nuodb"},
		ProfileFiles: map[string]string{"many.yaml": manyProfile()},
		// What is saved is counted at the end; in a long run its bounds would have
		// left only the last version of what was marked and went later.
		Values: map[string]any{"retention": map[string]any{"versions": 0}},
	}, 2)
	Expect(err).NotTo(HaveOccurred())
	store, err = snapshot.NewStore(kube, meta, replicas.Each[0].Namespace, time.Now)
	Expect(err).NotTo(HaveOccurred())
	Expect(harness.LoadNuoDBCRDs(ctx, admin)).To(Succeed())
	must.Succeed(admin.RunInput(ctx, manyRights, "kubectl", "apply", "--server-side", "-f", "-"))
	Expect(replicas.Start(ctx)).To(Succeed())
})

var _ = JustAfterEach(func() {
	if CurrentSpecReport().Failed() {
		log, err := replicas.Logs()
		AddReportEntry("logs of holdfast", fmt.Sprint(err, "\n", log))
	}
})

// count is how often something is done: a few times as part of all tests, often
// when reliability is what is asked for.
func count(few, often int) int {
	if os.Getenv("HOLDFAST_RELIABILITY") != "" {
		return often
	}
	return few
}

// newRandom is seeded anew each time; the seed is printed, and
// HOLDFAST_SEED takes one again.
func newRandom() *rand.Rand {
	seed := uint64(GinkgoRandomSeed()) //nolint:gosec // any number will do
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		Expect(err).NotTo(HaveOccurred())
	}
	AddReportEntry("seed", seed)
	return rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that can be repeated
}

// object is an object of one of NuoDB's kinds.
func object(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	if spec == nil {
		spec = map[string]any{}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec,
	}}
}

// create makes an object and returns it as it is stored.
func create(ctx context.Context, resource schema.GroupVersionResource, o *unstructured.Unstructured) *unstructured.Unstructured {
	GinkgoHelper()
	made, err := client.Resource(resource).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return made
}

// complete tells why there is no readable snapshot that holds want, if so.
func complete(ctx context.Context, want *unstructured.Unstructured) error {
	records, err := store.List(ctx, snapshot.Filter{UID: want.GetUID()})
	if err != nil {
		return err
	}
	for _, r := range records {
		s, err := store.Get(ctx, r.ID)
		if err != nil {
			return err
		}
		if same(s.Object, want) {
			return nil
		}
	}
	return fmt.Errorf("%s %s/%s (uid %s, version %s) has %d snapshots, and none of its last state",
		want.GetKind(), want.GetNamespace(), want.GetName(), want.GetUID(), want.GetResourceVersion(), len(records))
}

// same tells whether both have the same content, and are the same object. A
// change that was taken back leaves another generation with the same content.
func same(a, b *unstructured.Unstructured) bool {
	strip := func(o *unstructured.Unstructured) string {
		o = o.DeepCopy()
		for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
			unstructured.RemoveNestedField(o.Object, "metadata", field)
		}
		text, err := json.Marshal(o)
		Expect(err).NotTo(HaveOccurred())
		return string(text)
	}
	return strip(a) == strip(b)
}

// statusOf is the API server's answer in err.
func statusOf(err error) metav1.Status {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status()
	}
	return metav1.Status{}
}

// answers is how many deletions a replica has answered.
func answers(ctx context.Context, h *harness.Holdfast) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.MetricsURL+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	total := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "holdfast_admission_answers_total{") {
			var n float64
			_, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n)
			Expect(err).NotTo(HaveOccurred())
			total += int(n)
		}
	}
	return total
}

// gone tells whether the object with that UID is there no more.
func gone(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, uid types.UID) bool {
	GinkgoHelper()
	o, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true
	}
	Expect(err).NotTo(HaveOccurred())
	return o.GetUID() != uid || o.GetDeletionTimestamp() != nil
}
