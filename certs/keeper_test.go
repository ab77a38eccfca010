// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

func newKeeper(kube kubernetes.Interface, now *time.Time, hosts ...string) *Keeper {
	return &Keeper{Kube: kube, Namespace: "hf", Hosts: hosts, Now: func() time.Time { return *now }}
}

// verify checks what k serves as a client that trusts bundle would.
func verify(t *testing.T, k *Keeper, bundle []byte, host string, now time.Time) error {
	t.Helper()
	served, err := k.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now})
	return err
}

func ensure(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestServedBothWays(t *testing.T) {
	t.Parallel()
	now := time.Now()
	hosts, err := Hosts("holdfast", "hf", "https://127.0.0.1:9443")
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(fake.NewClientset(), &now, hosts...)
	ensure(t, k)
	for _, host := range []string{"holdfast.hf.svc", "127.0.0.1"} {
		if err := verify(t, k, k.CABundle(), host, now); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if verify(t, k, k.CABundle(), "example.com", now) == nil {
		t.Error("serves for any name")
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		url     string
		want    string // the last host
		wantErr bool
	}{
		"service alone": {url: "", want: "holdfast"},
		"address":       {url: "https://127.0.0.1:9443", want: "127.0.0.1"},
		"IPv6":          {url: "https://[::1]:9443/", want: "::1"},
		"name":          {url: "https://guard.example.com", want: "guard.example.com"},
		"plain HTTP":    {url: "http://127.0.0.1", wantErr: true},
		"no host":       {url: "https://:9443", wantErr: true},
		"query":         {url: "https://a?b=c", wantErr: true},
		"user":          {url: "https://me@a", wantErr: true},
		"no URL":        {url: "://", wantErr: true},
	} {
		got, err := Hosts("holdfast", "hf", tc.url)
		if (err != nil) != tc.wantErr {
			t.Errorf("%s: error = %v", name, err)
			continue
		}
		if !tc.wantErr && got[len(got)-1] != tc.want {
			t.Errorf("%s: hosts = %v", name, got)
		}
	}
}

// Replicas that start at once must end up with one authority.
func TestReplicasShare(t *testing.T) {
	t.Parallel()
	now, kube := time.Now(), fake.NewClientset()
	keepers := make([]*Keeper, 4)
	var wg sync.WaitGroup
	for i := range keepers {
		keepers[i] = newKeeper(kube, &now, "holdfast.hf.svc")
		wg.Go(func() { ensure(t, keepers[i]) })
	}
	wg.Wait()
	for _, k := range keepers[1:] {
		if diff := cmp.Diff(keepers[0].CABundle(), k.CABundle()); diff != "" {
			t.Errorf("authorities differ:\n%s", diff)
		}
		if err := verify(t, k, keepers[0].CABundle(), "holdfast.hf.svc", now); err != nil {
			t.Error(err)
		}
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	now, kube := time.Now(), fake.NewClientset()
	k := newKeeper(kube, &now, "holdfast.hf.svc")
	ensure(t, k)
	first := k.CABundle()

	now = now.Add(30 * 24 * time.Hour)
	before, _ := k.GetCertificate(nil)
	ensure(t, k)
	if after, _ := k.GetCertificate(nil); cmp.Diff(before.Certificate, after.Certificate) != "" {
		t.Error("a young certificate was replaced")
	}
	now = now.Add(300 * 24 * time.Hour)
	ensure(t, k)
	if err := verify(t, k, first, "holdfast.hf.svc", now); err != nil {
		t.Errorf("after the serving certificate's renewal: %v", err)
	}
	// The authority goes too; who still trusts the old one only is told by the bundle.
	now = now.Add(8 * 365 * 24 * time.Hour)
	ensure(t, k)
	if verify(t, k, first, "holdfast.hf.svc", now) == nil {
		t.Error("the worn authority still issues")
	}
	if err := verify(t, k, k.CABundle(), "holdfast.hf.svc", now); err != nil {
		t.Error(err)
	}
	if len(k.CABundle()) < 2*len(first)-200 {
		t.Error("the old authority has left the bundle while it is still valid")
	}
}

func TestEnsureMends(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*corev1.Secret){
		"empty":             func(s *corev1.Secret) { s.Data = nil },
		"no key":            func(s *corev1.Secret) { delete(s.Data, "tls.key") },
		"no authority":      func(s *corev1.Secret) { delete(s.Data, "ca.crt") },
		"key of another":    func(s *corev1.Secret) { s.Data["tls.key"] = s.Data["ca.key"] },
		"no PEM":            func(s *corev1.Secret) { s.Data["tls.crt"] = []byte("x") },
		"foreign authority": func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["tls.crt"]; s.Data["ca.key"] = s.Data["tls.key"] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, kube := time.Now(), fake.NewClientset()
			ensure(t, newKeeper(kube, &now, "holdfast.hf.svc"))
			secret, err := kube.CoreV1().Secrets("hf").Get(t.Context(), SecretName, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			damage(secret)
			if _, err := kube.CoreV1().Secrets("hf").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			k := newKeeper(kube, &now, "holdfast.hf.svc")
			ensure(t, k)
			if err := verify(t, k, k.CABundle(), "holdfast.hf.svc", now); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is served goes on when its Secret is deleted: clients trust it.
func TestSecretDeleted(t *testing.T) {
	t.Parallel()
	now, kube := time.Now(), fake.NewClientset()
	k := newKeeper(kube, &now, "holdfast.hf.svc")
	ensure(t, k)
	bundle := k.CABundle()
	if err := kube.CoreV1().Secrets("hf").Delete(t.Context(), SecretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ensure(t, k)
	if diff := cmp.Diff(bundle, k.CABundle()); diff != "" {
		t.Errorf("authority changed:\n%s", diff)
	}
	if _, err := kube.CoreV1().Secrets("hf").Get(t.Context(), SecretName, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestHostsChange(t *testing.T) {
	t.Parallel()
	now, kube := time.Now(), fake.NewClientset()
	ensure(t, newKeeper(kube, &now, "holdfast.hf.svc"))
	k := newKeeper(kube, &now, "holdfast.hf.svc", "127.0.0.1")
	ensure(t, k)
	if err := verify(t, k, k.CABundle(), "127.0.0.1", now); err != nil {
		t.Error(err)
	}
}

func TestEnsureFaults(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"get", "create"} {
		now, kube := time.Now(), fake.NewClientset()
		kube.PrependReactor(verb, "secrets", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInternalError(errors.New("no answer"))
		})
		k := newKeeper(kube, &now, "h")
		if k.Ensure(t.Context()) == nil {
			t.Errorf("%s fails without an error", verb)
		}
		if _, err := k.GetCertificate(nil); err == nil {
			t.Error("serves a certificate that is not stored")
		}
	}
}
