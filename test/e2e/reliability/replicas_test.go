// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const registered = "holdfast"

// remove deletes what Holdfast has registered.
func remove(ctx context.Context) {
	GinkgoHelper()
	Expect(kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, registered, metav1.DeleteOptions{})).To(Succeed())
}

// isRegistered says what is missing of the registration.
func isRegistered(ctx context.Context) error {
	c, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, registered, metav1.GetOptions{})
	if err == nil && len(c.Webhooks) == 0 {
		err = fmt.Errorf("no entries")
	}
	return err
}

// holder is who holds the lease now; empty when it was given back.
func holder(ctx context.Context) string {
	GinkgoHelper()
	lease, err := kube.CoordinationV1().Leases(replicas.Each[0].Namespace).Get(ctx, "holdfast", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

// leader is the replica that has logged last that it leads.
func leader(ctx context.Context) *harness.Holdfast {
	GinkgoHelper()
	var leads *harness.Holdfast
	Eventually(func() int {
		n := 0
		for _, h := range replicas.Each {
			log, err := h.Logs()
			Expect(err).NotTo(HaveOccurred())
			if h.Running() && strings.LastIndex(log, `"This replica leads"`) > strings.LastIndex(log, `"Holdfast starts"`) &&
				strings.LastIndex(log, `"This replica leads"`) > strings.LastIndex(log, `"This replica does not lead any more"`) {
				leads = h
				n++
			}
		}
		return n
	}).Should(Equal(1), "replicas that lead")
	Expect(holder(ctx)).NotTo(BeEmpty())
	return leads
}

// served is the certificate that a replica presents.
func served(ctx context.Context, h *harness.Holdfast) []byte {
	GinkgoHelper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it only looks at the certificate
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(h.WebhookURL, "https://"))
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close() //nolint:errcheck // nothing was written
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
}

var _ = Describe("Two replicas", func() {
	It("both answer, with the same certificate, and one of them leads", func(ctx SpecContext) {
		Expect(served(ctx, replicas.Each[0])).To(Equal(served(ctx, replicas.Each[1])))
		leader(ctx)
		namespace := must.Namespace(ctx, admin, "team")
		before := []int{answers(ctx, replicas.Each[0]), answers(ctx, replicas.Each[1])}
		for i := range 4 {
			replicas.Rotate()
			o := create(ctx, harness.Features(), object("HelmFeature", namespace, fmt.Sprint("f", i), nil))
			Eventually(func() error {
				return client.Resource(harness.Features()).Namespace(namespace).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			}).Should(Succeed())
			Expect(complete(ctx, o)).To(Succeed())
		}
		for i, h := range replicas.Each {
			Expect(answers(ctx, h)).To(BeNumerically(">", before[i]), "replica %d has answered nothing", i)
		}
	})

	It("serve a new certificate both when its Secret is spoilt", func(ctx SpecContext) {
		before := served(ctx, replicas.Each[0])
		_, err := kube.CoreV1().Secrets(replicas.Each[0].Namespace).Patch(ctx, "holdfast-serving-cert", "application/merge-patch+json", []byte(`{"data":{"tls.crt":"eA=="}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, h := range replicas.Each {
			Eventually(served).WithArguments(ctx, h).WithTimeout(5 * time.Second).ShouldNot(Equal(before))
		}
		Eventually(func() bool { return bytes.Equal(served(ctx, replicas.Each[0]), served(ctx, replicas.Each[1])) }).Should(BeTrue())
	})

	It("repair the registration within 5 s, also when the leader was killed just before", func(ctx SpecContext) {
		remove(ctx)
		Eventually(isRegistered).WithArguments(ctx).WithTimeout(5 * time.Second).Should(Succeed())

		killed := leader(ctx)
		Expect(killed.Kill()).To(Succeed())
		remove(ctx)
		Eventually(isRegistered).WithArguments(ctx).WithTimeout(5 * time.Second).Should(Succeed())
		Expect(leader(ctx)).NotTo(Equal(killed))
		Expect(replicas.Start(ctx)).To(Succeed())
	})

	It("hand the lead over at once when the leader is asked to end", func(ctx SpecContext) {
		ended := leader(ctx)
		Expect(ended.Stop()).To(Succeed())
		asked := time.Now()
		remove(ctx)
		Eventually(isRegistered).WithArguments(ctx).WithTimeout(3 * time.Second).Should(Succeed())
		AddReportEntry("taken over after", time.Since(asked))
		Expect(replicas.Start(ctx)).To(Succeed())
	})

	It("leave one that is alone, and repairs 5 s after it was killed and started again", func(ctx SpecContext) {
		DeferCleanup(func(ctx SpecContext) { Expect(replicas.Start(ctx)).To(Succeed()) })
		Expect(replicas.Each[1].Stop()).To(Succeed())
		Eventually(func() *harness.Holdfast { return leader(ctx) }).Should(Equal(replicas.Each[0]))
		Expect(replicas.Each[0].Kill()).To(Succeed())
		remove(ctx)
		started := time.Now()
		Expect(replicas.Each[0].Start(ctx)).To(Succeed())
		Expect(isRegistered(ctx)).To(Succeed(), "it says that it is ready, and is not registered")
		AddReportEntry("ready again after", time.Since(started))
		Expect(time.Since(started)).To(BeNumerically("<", 8*time.Second), "5 s, and the start of a process on a busy machine")
	})

	It("lose nothing and refuse nothing wrongly in rolling restarts", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		var stop atomic.Bool
		var deleted, failed atomic.Int32
		var work sync.WaitGroup
		for w := range 8 {
			work.Go(func() {
				defer GinkgoRecover()
				for i := 0; !stop.Load(); i++ {
					o := create(ctx, harness.Features(), object("HelmFeature", namespace, fmt.Sprintf("f-%d-%d", w, i), nil))
					if err := client.Resource(harness.Features()).Namespace(namespace).Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
						Expect(statusOf(err).Code).To(BeEquivalentTo(500), "%v", err)
						failed.Add(1)
						continue
					}
					deleted.Add(1)
					Expect(complete(ctx, o)).To(Succeed())
				}
			})
		}
		for round := 0; round < count(2, 20) || deleted.Load() < 100; round++ {
			for _, h := range replicas.Each {
				Expect(h.Stop()).To(Succeed())
				Expect(h.Start(ctx)).To(Succeed())
			}
		}
		stop.Store(true)
		work.Wait()
		AddReportEntry("rolling restarts", fmt.Sprintf("%d deletes went through, %d failed", deleted.Load(), failed.Load()))
		// The balancer learns that a replica is gone by a refused connection, as
		// no Service does; what fails is what was sent on the one being closed.
		Expect(failed.Load()).To(BeNumerically("<=", deleted.Load()/20), "deletes that failed")
	}, NodeTimeout(10*time.Minute))
})

var _ = Describe("The same admission call", func() {
	It("made a hundred times leaves one snapshot", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		o := create(ctx, harness.Features(), object("HelmFeature", namespace, "again", nil))
		review := reviewOf(o)
		config, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, registered, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		path := strings.TrimPrefix(*config.Webhooks[0].ClientConfig.URL, "https://"+replicas.Address)
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // loopback
		defer transport.CloseIdleConnections()
		var work sync.WaitGroup
		for i := range 100 {
			work.Go(func() {
				defer GinkgoRecover()
				answer := ask(ctx, transport, replicas.Each[i%2].WebhookURL+path, review)
				Expect(answer.Allowed).To(BeTrue(), "%+v", answer.Result)
			})
		}
		work.Wait()
		records, err := store.List(ctx, snapshot.Filter{UID: o.GetUID()})
		Expect(err).NotTo(HaveOccurred())
		Expect(records).To(HaveLen(1))
		Expect(complete(ctx, o)).To(Succeed())
	})
})

// reviewOf is what the API server sends when o is to be deleted.
func reviewOf(o *unstructured.Unstructured) []byte {
	GinkgoHelper()
	raw, err := o.MarshalJSON()
	Expect(err).NotTo(HaveOccurred())
	resource := harness.Features()
	text, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "0f0f0f0f-0000-4000-8000-000000000001", Operation: admissionv1.Delete,
			Resource:  metav1.GroupVersionResource{Group: resource.Group, Version: resource.Version, Resource: resource.Resource},
			Namespace: o.GetNamespace(), Name: o.GetName(),
			OldObject: runtime.RawExtension{Raw: raw},
			UserInfo:  authenticationv1.UserInfo{Username: "eve"},
		},
	})
	Expect(err).NotTo(HaveOccurred())
	return text
}

func ask(ctx context.Context, transport http.RoundTripper, url string, review []byte) *admissionv1.AdmissionResponse {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(review))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close() //nolint:errcheck // it was only read
	var answer admissionv1.AdmissionReview
	Expect(json.NewDecoder(response.Body).Decode(&answer)).To(Succeed())
	return answer.Response
}
