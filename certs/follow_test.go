// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// A replica that does not lead serves what is stored and writes nothing, unless
// there is nothing at all.
func TestFollow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	kube := fake.NewClientset()
	replica := func(at time.Time) *Keeper {
		return &Keeper{Kube: kube, Namespace: "hf", Hosts: []string{"holdfast.hf.svc"}, Now: func() time.Time { return at }}
	}
	writes := func() (n int) {
		for _, a := range kube.Actions() {
			if a.GetVerb() != "get" {
				n++
			}
		}
		kube.ClearActions()
		return n
	}

	first, leader := replica(now), replica(now.Add(300*24*time.Hour))
	if err := first.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := writes(); got != 1 || first.CABundle() == nil {
		t.Errorf("%d writes, want the Secret created by whoever starts first", got)
	}
	before := first.CABundle()

	if err := leader.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := writes(); got != 1 {
		t.Errorf("%d writes by the leader, want the renewal", got)
	}
	old, _ := first.GetCertificate(nil)
	if err := first.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	renewed, _ := first.GetCertificate(nil)
	want, _ := leader.GetCertificate(nil)
	if cmp.Equal(old.Certificate, renewed.Certificate) || !cmp.Equal(want.Certificate, renewed.Certificate) {
		t.Error("the follower does not serve what the leader has written")
	}
	if !cmp.Equal(before, first.CABundle()) || writes() != 0 {
		t.Error("a renewed certificate is no new authority, and a follower writes nothing")
	}

	if err := kube.CoreV1().Secrets("hf").Delete(t.Context(), SecretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	kube.ClearActions()
	if err := first.Follow(t.Context()); err != nil || writes() != 0 {
		t.Errorf("Secret deleted: %v; a follower goes on and leaves it to the leader", err)
	}

	kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no answer")
	})
	if err := first.Follow(t.Context()); err == nil {
		t.Error("no error although the Secret cannot be read")
	}
	if got, err := first.GetCertificate(nil); err != nil || !cmp.Equal(got.Certificate, renewed.Certificate) {
		t.Errorf("certificate no longer served: %v", err)
	}
}
