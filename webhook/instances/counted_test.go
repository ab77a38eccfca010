// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata/fake"
)

// A fence opens and closes at once; more or fewer of the same are no news, and
// what belongs to no release is not told of at all.
func TestCounted(t *testing.T) {
	t.Parallel()
	gvr := schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "tiers"}
	for _, fences := range []bool{true, false} {
		t.Run(fmt.Sprint(fences), func(t *testing.T) {
			t.Parallel()
			scheme := fake.NewTestScheme()
			if err := metav1.AddMetaToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			client := fake.NewSimpleMetadataClient(scheme)
			told := make(chan bool, 10)
			k := &heldKind{fences: fences, objects: map[string]int{}}
			synced := make(chan struct{})
			h := &Holders{
				Metadata: client, Changed: func() { close(synced) }, Counted: func(news bool) { told <- news },
				kinds: map[schema.GroupResource]*heldKind{gvr.GroupResource(): k},
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h.watchKind(ctx, gvr, k)
			<-synced
			expect := func(what string, there int, news bool) {
				t.Helper()
				err := wait.PollUntilContextTimeout(ctx, time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
					objects, _ := h.Count(gvr.GroupResource())
					return objects["a"] == there, nil
				})
				if err != nil {
					t.Fatalf("%s: not counted, want %d", what, there)
				}
				if !fences {
					return
				}
				if got := <-told; got != news {
					t.Errorf("%s: news is %t, want %t", what, got, news)
				}
			}
			expect("read", 0, true)
			objects := client.Resource(gvr).Namespace("a").(fake.MetadataClient)
			for i, news := range []bool{true, false} {
				object := &metav1.PartialObjectMetadata{
					TypeMeta:   metav1.TypeMeta{APIVersion: "example.com/v1", Kind: "Tier"},
					ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint(i)},
				}
				if _, err := objects.CreateFake(object, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				expect("created", i+1, news)
			}
			for i, news := range []bool{false, true} {
				if err := objects.Delete(t.Context(), fmt.Sprint(i), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				expect("deleted", 1-i, news)
			}
			if n := len(told); n > 0 {
				t.Errorf("told %d times more", n)
			}
		})
	}
}
