// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// SecretName is the Secret in Holdfast's namespace.
const SecretName = "holdfast-serving-cert"

const (
	keyAuthorities  = "ca.crt"
	keyAuthorityKey = "ca.key"
)

// Keeper keeps the Secret and serves what is in it.
type Keeper struct {
	Kube      kubernetes.Interface
	Namespace string
	// Hosts are the names and addresses that the certificate must cover.
	Hosts []string
	Now   func() time.Time

	current atomic.Pointer[served]
}

type served struct {
	bundle      Bundle
	certificate tls.Certificate
}

// Hosts are the names under which the API server reaches a webhook: through
// the Service, and by its URL if that is not empty.
func Hosts(service, namespace, webhookURL string) ([]string, error) {
	hosts := []string{service + "." + namespace + ".svc", service + "." + namespace, service}
	if webhookURL == "" {
		return hosts, nil
	}
	u, err := url.Parse(webhookURL)
	if err != nil {
		return nil, fmt.Errorf("webhook URL: %w", err)
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("webhook URL %q: must be like https://HOST:PORT, without user, query or fragment", webhookURL)
	}
	return append(hosts, u.Hostname()), nil
}

// Ensure loads the Secret, and creates or renews it first where that is due.
// When the Secret is gone, what is being served goes on and is written again.
func (k *Keeper) Ensure(ctx context.Context) error {
	var err error
	// A conflict means that another replica was faster: look again.
	for range 5 {
		if err = k.ensureOnce(ctx); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return err
}

// Follow loads the Secret and leaves its upkeep to another replica. Only when
// there is nothing to serve yet and no Secret, it is created: whoever starts
// first must not wait for a leader. What cannot be served leaves in place what
// is being served.
func (k *Keeper) Follow(ctx context.Context) error {
	stored, err := k.Kube.CoreV1().Secrets(k.Namespace).Get(ctx, SecretName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && k.current.Load() == nil:
		return k.Ensure(ctx)
	case apierrors.IsNotFound(err):
		return nil // the leader writes it again
	case err != nil:
		return fmt.Errorf("read Secret %q: %w", SecretName, err)
	}
	return k.load(bundleOf(stored))
}

func (k *Keeper) ensureOnce(ctx context.Context) error {
	secrets := k.Kube.CoreV1().Secrets(k.Namespace)
	stored, err := secrets.Get(ctx, SecretName, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("read Secret %q: %w", SecretName, err)
	}
	var old Bundle
	if !missing {
		old = bundleOf(stored)
	} else if now := k.current.Load(); now != nil {
		old = now.bundle
	}
	next, changed, err := renew(old, k.Hosts, k.Now())
	if err != nil {
		return err
	}
	switch {
	case missing:
		_, err = secrets.Create(ctx, k.secret(next), metav1.CreateOptions{FieldManager: "holdfast"})
	case changed:
		stored.Data = k.secret(next).Data
		_, err = secrets.Update(ctx, stored, metav1.UpdateOptions{FieldManager: "holdfast"})
	}
	if err != nil {
		return fmt.Errorf("write Secret %q: %w", SecretName, err)
	}
	return k.load(next)
}

func (k *Keeper) load(b Bundle) error {
	certificate, err := tls.X509KeyPair(b.Certificate, b.Key)
	if err != nil {
		return fmt.Errorf("load serving certificate: %w", err)
	}
	k.current.Store(&served{bundle: b, certificate: certificate})
	return nil
}

// CABundle is what clients trust; empty before the first Ensure.
func (k *Keeper) CABundle() []byte {
	if now := k.current.Load(); now != nil {
		return now.bundle.Authorities
	}
	return nil
}

// GetCertificate is for tls.Config; it serves whatever was loaded last.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := k.current.Load()
	if now == nil {
		return nil, errors.New("no serving certificate yet")
	}
	return &now.certificate, nil
}

func (k *Keeper) secret(b Bundle) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: k.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "holdfast"}},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			keyAuthorities: b.Authorities, keyAuthorityKey: b.AuthorityKey,
			corev1.TLSCertKey: b.Certificate, corev1.TLSPrivateKeyKey: b.Key,
		},
	}
}

func bundleOf(s *corev1.Secret) Bundle {
	return Bundle{
		Authorities: s.Data[keyAuthorities], AuthorityKey: s.Data[keyAuthorityKey],
		Certificate: s.Data[corev1.TLSCertKey], Key: s.Data[corev1.TLSPrivateKeyKey],
	}
}

// IsLoopback tells whether webhookURL leads to this machine alone.
func IsLoopback(webhookURL string) (host string, ok bool) {
	u, err := url.Parse(webhookURL)
	if err != nil {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname(), ip != nil && ip.IsLoopback()
}
