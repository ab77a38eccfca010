// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func recorder(t *testing.T) (*Recorder, *fake.Clientset, *clocktesting.FakePassiveClock) {
	t.Helper()
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	client, clock := fake.NewClientset(), clocktesting.NewFakePassiveClock(began)
	return newRecorder(client.CoreV1(), "holdfast-system", "pod-1", metrics, clock), client, clock
}

func refusal() Event {
	return Event{
		Object:  corev1.ObjectReference{APIVersion: "billing.example/v1", Kind: "Plan", Namespace: "shop", Name: "gold", UID: "u-1"},
		Warning: true, Reason: "DeletionRefused", Action: "Delete", Message: "plan shop/gold is in use",
	}
}

// written are all Events there are.
func written(t *testing.T, client *fake.Clientset) []corev1.Event {
	t.Helper()
	list, err := client.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// count is how many Events had that outcome.
func (m *Metrics) count(outcome string) float64 {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.events)
	families, err := registry.Gather()
	if err != nil {
		return -1
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == outcome {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestEvent(t *testing.T) {
	t.Parallel()
	r, client, _ := recorder(t)
	r.write(t.Context(), refusal())
	now := metav1.NewTime(began)
	want := []corev1.Event{{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "billing.example/v1", Kind: "Plan", Namespace: "shop", Name: "gold", UID: "u-1"},
		Type:           "Warning", Reason: "DeletionRefused", Action: "Delete", Message: "plan shop/gold is in use",
		Source: corev1.EventSource{Component: "holdfast"}, ReportingController: "holdfast", ReportingInstance: "pod-1",
		EventTime: metav1.NewMicroTime(began), FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}}
	got := written(t, client)
	if len(got) == 1 {
		want[0].Name = got[0].Name // it tells the time
		got[0].TypeMeta, got[0].ManagedFields = metav1.TypeMeta{}, nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestClusterScopedGoesToDefault(t *testing.T) {
	t.Parallel()
	r, client, _ := recorder(t)
	e := refusal()
	e.Object.Namespace = ""
	r.write(t.Context(), e)
	if got := written(t, client); len(got) != 1 || got[0].Namespace != "default" || got[0].InvolvedObject.Namespace != "" {
		t.Errorf("events = %+v", got)
	}
}

// What asks for ever is one Event, which counts, and soon counts no more.
func TestRepetitions(t *testing.T) {
	t.Parallel()
	r, client, clock := recorder(t)
	for i := range 1000 {
		clock.SetTime(began.Add(time.Duration(i) * 10 * time.Millisecond))
		r.write(t.Context(), refusal())
	}
	got := written(t, client)
	if len(got) != 1 || got[0].Count != 10 {
		t.Fatalf("events = %+v, want one that counts 10", got)
	}
	if n := len(client.Actions()); n > 12 {
		t.Errorf("%d requests for 1000 repetitions", n)
	}
	if w, d := r.metrics.count("written"), r.metrics.count("dropped"); w != 10 || d != 990 {
		t.Errorf("written %v, dropped %v", w, d)
	}
	clock.SetTime(began.Add(10 * time.Minute))
	r.write(t.Context(), refusal())
	if got := written(t, client); len(got) != 1 || got[0].Count != 1001 {
		t.Errorf("later: events = %+v, want one that counts all", got)
	}
}

// failIn fails what is done to Events in a namespace.
func failIn(client *fake.Clientset, verb, namespace string, err error) {
	client.PrependReactor(verb, "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return a.GetNamespace() == namespace, nil, err
	})
}

func TestNamespaceThatGoes(t *testing.T) {
	t.Parallel()
	terminating := apierrors.NewForbidden(corev1.Resource("events"), "gold.1", errors.New("is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, why := range map[string]error{
		"going": terminating,
		"gone":  apierrors.NewNotFound(corev1.Resource("namespaces"), "shop"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, client, _ := recorder(t)
			failIn(client, "create", "shop", why)
			failIn(client, "patch", "shop", apierrors.NewNotFound(corev1.Resource("events"), "gold.1"))
			for range 3 {
				r.write(t.Context(), refusal())
			}
			got := written(t, client)
			if len(got) != 1 || got[0].Namespace != "holdfast-system" || got[0].InvolvedObject.Namespace != "shop" || got[0].Count != 3 {
				t.Errorf("events = %+v", got)
			}
		})
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	r, client, _ := recorder(t)
	failIn(client, "create", "shop", apierrors.NewForbidden(corev1.Resource("events"), "gold.1", errors.New("no right")))
	r.write(t.Context(), refusal())
	if got := written(t, client); len(got) != 0 {
		t.Errorf("events = %+v; another's fault is no reason to write elsewhere", got)
	}
	if n := r.metrics.count("failed"); n != 1 {
		t.Errorf("failed = %v", n)
	}
}

// Nobody waits for an Event: without a writer, telling returns all the same.
func TestTellNeverWaits(t *testing.T) {
	t.Parallel()
	r, client, _ := recorder(t)
	saved := refusal()
	saved.Warning = false
	for range 2000 {
		r.Tell(saved)
	}
	if n := len(r.queue); n != 501 {
		t.Errorf("%d events that are no warnings wait, want 501, so that warnings find room", n)
	}
	for range 2000 {
		r.Tell(refusal())
	}
	if n, d := len(r.queue), r.metrics.count("dropped"); n != 1000 || d != 3000 {
		t.Errorf("%d wait, %v were dropped", n, d)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Start(ctx) }()
	for len(written(t, client)) == 0 {
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"short":                  "short",
		strings.Repeat("a", 11):  "aaaaaaa...",
		strings.Repeat("ä", 6):   "äää...",
		"abcdefghi" + "\u00e4bc": "abcdefg...",
	} {
		if got := shorten(text, 10); got != want {
			t.Errorf("shorten(%q) = %q, want %q", text, got, want)
		}
	}
}
