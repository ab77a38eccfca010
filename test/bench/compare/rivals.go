// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/certs"
)

// rivals are the webhooks that Holdfast is compared with: they run in a server
// made of the same library, and do nothing but what their names say.
type rivals struct {
	server *http.Server
	failed chan error
}

func startRivals(ctx context.Context, kube kubernetes.Interface, secrets string) (*rivals, error) {
	handlers := map[string]admission.HandlerFunc{
		"refused": func(context.Context, admission.Request) admission.Response { return admission.Denied("no") },
		"noop":    func(context.Context, admission.Request) admission.Response { return admission.Allowed("") },
		"write": func(ctx context.Context, r admission.Request) admission.Response {
			_, err := kube.CoreV1().Secrets(secrets).Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "plain-write-" + strings.ToLower(string(r.UID))},
				Data:       map[string][]byte{"object": r.OldObject.Raw},
			}, metav1.CreateOptions{})
			if err != nil {
				return admission.Errored(http.StatusInternalServerError, err)
			}
			return admission.Allowed("")
		},
	}
	mux := http.NewServeMux()
	for kind, handler := range handlers {
		mux.Handle("/"+kind, &admission.Webhook{Handler: handler})
	}
	// The certificate is made as Holdfast's is, in a store of its own.
	cert := &certs.Keeper{Kube: fake.NewClientset(), Namespace: "none", Hosts: []string{"127.0.0.1"}, Now: time.Now}
	if err := cert.Ensure(ctx); err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: cert.GetCertificate, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("start rivals: %w", err)
	}
	r := &rivals{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }},
		failed: make(chan error, 1),
	}
	go func() { r.failed <- r.server.Serve(listener) }()
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "rivals"}}
	for _, kind := range kinds {
		if handlers[kind] == nil {
			continue
		}
		config.Webhooks = append(config.Webhooks, admissionregistrationv1.ValidatingWebhook{
			Name:                    kind + ".rivals.example",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + listener.Addr().String() + "/" + kind), CABundle: cert.CABundle()},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Delete},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{kind + "s"}},
			}},
			// As Holdfast's, so that the API server evaluates as much for each.
			MatchConditions: []admissionregistrationv1.MatchCondition{
				{Name: "first-delete", Expression: "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"},
				{Name: "not-clean-up", Expression: "!(request.userInfo.username in ['nobody'])"},
			},
		})
	}
	_, err = kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, config, metav1.CreateOptions{})
	if err != nil {
		return r, fmt.Errorf("register rivals: %w", err)
	}
	return r, nil
}

func (r *rivals) close() error {
	err := r.server.Close()
	if served := <-r.failed; err == nil && served != http.ErrServerClosed { //nolint:errorlint // it is returned as it is
		err = served
	}
	return err
}
