// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

type connectionOf struct{}

// All connections that rest hang when one does: after one was waited for, the
// second try is not to wait for another.
func TestASecondTryUsesANewConnection(t *testing.T) {
	t.Parallel()
	const resting = 4
	var frozen atomic.Bool
	var both sync.WaitGroup
	both.Add(resting)
	released := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(connectionOf{}) == false {
			if frozen.Load() {
				<-released
				return
			}
			both.Done()
			both.Wait() // so that each request has a connection of its own
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"apiVersion": "billing.example/v1", "kind": "PlanList", "metadata": {"resourceVersion": "7"}, "items": []}`)
	}))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connectionOf{}, frozen.Load())
	}
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(released) })

	config := &rest.Config{Host: server.URL}
	options, err := OptionsFor(config, config, nuodb(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	plans := Definition{Resource: schema.GroupVersionResource{Group: "billing.example", Version: "v1", Resource: "plans"}}
	f := newFeed(&kindPlan{}, options)
	var warm sync.WaitGroup
	for range resting {
		warm.Go(func() {
			if _, err := f.proving(plans).page(t.Context(), "", metav1.ListOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	warm.Wait()
	frozen.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	page, err := f.proving(plans).promptPage(ctx, "", metav1.ListOptions{})
	if err != nil || page.ResourceVersion != "7" {
		t.Errorf("%v, %v", page, err)
	}
}
