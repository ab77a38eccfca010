// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/certs"
)

// rivals are the webhooks that Holdfast is compared with: they run in a server
// made of the same library, in a process of their own as Holdfast does, and do
// nothing but what their names say.
type rivals struct {
	command *exec.Cmd
	stdin   io.Closer
}

// address is what the rivals' process says when it listens.
type address struct {
	URL string
	CA  []byte
}

// serveRivals is that process; it ends when its input does.
func serveRivals(ctx context.Context, kubeconfig, secrets string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 2000
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for kind, handler := range rivalHandlers(kube, secrets) {
		mux.Handle("/"+kind, &admission.Webhook{Handler: handler})
	}
	// The certificate is made as Holdfast's is, in a store of its own.
	cert := &certs.Keeper{Kube: fake.NewClientset(), Namespace: "none", Hosts: []string{"127.0.0.1"}, Now: time.Now}
	if err := cert.Ensure(ctx); err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: cert.GetCertificate, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(address{"https://" + listener.Addr().String(), cert.CABundle()}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func rivalHandlers(kube kubernetes.Interface, secrets string) map[string]admission.HandlerFunc {
	return map[string]admission.HandlerFunc{
		"refused": func(context.Context, admission.Request) admission.Response { return admission.Denied("no") },
		"twice":   func(context.Context, admission.Request) admission.Response { return asHoldfast() },
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
}

// asHoldfast is an answer as long as Holdfast's, without a look at anything: the
// text, once more as warnings and in the audit log, and who refers to the object.
func asHoldfast() admission.Response {
	text := strings.Repeat("somebody told what is the matter and what to do about it now ", 6)
	response := admission.Denied(text)
	response.Result.Details = &metav1.StatusDetails{Group: group, Kind: "useds", Name: "kept", Causes: []metav1.StatusCause{
		{Type: "HoldfastInUse", Message: "users.bench.example bench/keeper", Field: ".spec.uses"},
	}}
	response.Warnings = []string{"holdfast: " + text[:200], "holdfast: " + text[200:]}
	response.AuditAnnotations = map[string]string{"verdict": "deny", "rule": "in-use", "why": text}
	return response
}

func startRivals(ctx context.Context, kube kubernetes.Interface, kubeconfig, secrets string) (*rivals, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start rivals: %w", err)
	}
	r := &rivals{command: exec.CommandContext(ctx, self, "-rivals", kubeconfig, "-rivals-secrets", secrets)}
	r.command.Stderr = os.Stderr
	if r.stdin, err = r.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start rivals: %w", err)
	}
	stdout, err := r.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start rivals: %w", err)
	}
	if err := r.command.Start(); err != nil {
		return nil, fmt.Errorf("start rivals: %w", err)
	}
	var at address
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		return r, fmt.Errorf("start rivals: %w", err)
	}
	return r, register(ctx, kube, at)
}

func register(ctx context.Context, kube kubernetes.Interface, at address) error {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "rivals"}}
	for _, kind := range kinds {
		if rivalHandlers(nil, "")[kind] == nil {
			continue
		}
		config.Webhooks = append(config.Webhooks, admissionregistrationv1.ValidatingWebhook{
			Name:                    kind + ".rivals.example",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To(at.URL + "/" + kind), CABundle: at.CA},
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
		if kind == "twice" {
			config.Webhooks = append(config.Webhooks, another(config.Webhooks[len(config.Webhooks)-1]))
		}
	}
	_, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, config, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register rivals: %w", err)
	}
	return nil
}

// another is an entry beside w for all that w leaves out, which must not hang on
// the webhook: Holdfast needs two as well.
func another(w admissionregistrationv1.ValidatingWebhook) admissionregistrationv1.ValidatingWebhook {
	w.Name = "more-" + w.Name
	w.FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	w.MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name: "decided-before", Expression: fmt.Sprintf("!(%s) || !(%s)", w.MatchConditions[0].Expression, w.MatchConditions[1].Expression),
	}}
	return w
}

func (r *rivals) close() error {
	return errors.Join(r.stdin.Close(), r.command.Wait())
}
