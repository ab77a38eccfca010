// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// listed tells whether the API server has been told that namespace holds
// guarded objects.
func listed(ctx context.Context, namespace string) (bool, error) {
	config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "holdfast", metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	for _, w := range config.Webhooks {
		for _, c := range w.MatchConditions {
			if w.Name == "namespace.holdfast.dev" && strings.Contains(c.Expression, "'"+namespace+"'") {
				return true, nil
			}
		}
	}
	return false, nil
}

// sum adds up the samples of a metric whose line has all of the parts.
func sum(text, metric string, parts ...string) float64 {
	GinkgoHelper()
	var total float64
lines:
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "{")
		if name != metric {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		var n float64
		_, err := fmt.Sscan(line[strings.LastIndex(strings.TrimSpace(line), " ")+1:], &n)
		Expect(err).NotTo(HaveOccurred())
		total += n
	}
	return total
}

// ownMetrics are those of Holdfast, serverMetrics those of the API server.
func ownMetrics(ctx context.Context) string {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, holdfast.MetricsURL+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func serverMetrics(ctx context.Context) string {
	GinkgoHelper()
	text, err := kube.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

var _ = Describe("Requests about kinds that no profile names", func() {
	It("never reach Holdfast, however many there are, the deletion of namespaces aside", func(ctx SpecContext) {
		namespaces := []string{must.Namespace(ctx, admin, "row"), must.Namespace(ctx, admin, "row")}
		calls := func() float64 { return sum(ownMetrics(ctx), "controller_runtime_webhook_requests_total") }
		before, server := calls(), serverMetrics(ctx)
		const workers, rounds = 8, 40
		var work sync.WaitGroup
		for w := range workers {
			work.Go(func() {
				defer GinkgoRecover()
				for i := range rounds {
					busy(ctx, namespaces[w%2], fmt.Sprintf("b%d-%d", w, i))
				}
			})
		}
		work.Wait()
		Expect(calls()).To(Equal(before), "calls of Holdfast")

		By("one for each namespace that is deleted")
		for _, namespace := range namespaces {
			must.Succeed(admin.Kubectl(ctx, "delete", "namespace", namespace, "--wait=false"))
		}
		Expect(calls()).To(Equal(before + 2))
		Expect(sum(ownMetrics(ctx), "holdfast_admission_strays_total")).To(BeZero())

		const cost = "apiserver_admission_match_condition_evaluation_seconds"
		after := serverMetrics(ctx)
		seconds := sum(after, cost+"_sum", "holdfast") - sum(server, cost+"_sum", "holdfast")
		evaluations := sum(after, cost+"_count", "holdfast") - sum(server, cost+"_count", "holdfast")
		AddReportEntry("match conditions", fmt.Sprintf("%.0f requests of a mixed workload, %.0f evaluations, mean %.1f µs; since the start %.0f evaluations, mean %.1f µs",
			float64(workers*rounds*6), evaluations, 1e6*seconds/max(evaluations, 1), sum(after, cost+"_count", "holdfast"), 1e6*sum(after, cost+"_sum", "holdfast")/max(sum(after, cost+"_count", "holdfast"), 1)))
	})
})

// busy creates, changes and deletes what nobody guards.
func busy(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	maps, secrets := kube.CoreV1().ConfigMaps(namespace), kube.CoreV1().Secrets(namespace)
	_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"example.com/hold"}}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	_, err = maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(maps.Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
	_, err = maps.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(secrets.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=" + name})).To(Succeed())
}
