// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/certs"
	"github.com/holdfast-dev/holdfast/webhook"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/own"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// decisionTime is below the 5 s after which the API server gives up, so that
// the reason of a slow decision still gets through.
const decisionTime = 4500 * time.Millisecond

// serve wires the parts and runs until ctx ends.
func serve(ctx context.Context, o *serveOptions) error {
	logger := newLogger(o)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger.WithName("client"))

	kube, err := kubernetes.NewForConfig(o.restConfig)
	if err != nil {
		return err
	}
	cert := &certs.Keeper{Kube: kube, Namespace: o.namespace, Hosts: o.hosts, Now: time.Now}
	mgr, err := newManager(o, cert)
	if err != nil {
		return fmt.Errorf("set up server: %w", err)
	}
	index, err := newIndex(o.restConfig, o.set, metrics.Registry)
	if err != nil {
		return fmt.Errorf("set up index: %w", err)
	}
	if err := errors.Join(mgr.Add(index), mgr.AddReadyzCheck("usage", index.Ready)); err != nil {
		return fmt.Errorf("set up index: %w", err)
	}
	upkeep, err := newUpkeep(ctx, o, mgr, kube, cert)
	if err != nil {
		return fmt.Errorf("set up upkeep: %w", err)
	}
	upkeep.policies = func(ctx context.Context, changed func()) {
		followPolicies(ctx, kube, upkeep.registration.Policies, changed)
	}
	if err := errors.Join(followHolders(mgr, o, upkeep), keepBounds(o, upkeep)); err != nil {
		return fmt.Errorf("set up upkeep: %w", err)
	}
	operators, err := followOperators(mgr, o, upkeep)
	if err != nil {
		return fmt.Errorf("set up upkeep: %w", err)
	}
	if err := addWebhooks(ctx, o, mgr, kube, facts{who: index, operators: operators}); err != nil {
		return fmt.Errorf("set up webhook: %w", err)
	}
	if err := errors.Join(upkeep.addTo(mgr), followPause(mgr, metrics.Registry, upkeep.trigger)); err != nil {
		return fmt.Errorf("set up upkeep: %w", err)
	}
	// Tried again by the upkeep; here it spares the first callers a wait.
	if err := cert.Follow(ctx); err != nil {
		logger.Error(err, "No serving certificate yet")
	}
	logger.Info("Holdfast starts", "version", version, "namespace", o.namespace, "resources", len(o.set.Resources()))
	running, stop := drained(ctx, o.drain)
	defer stop()
	return mgr.Start(running)
}

// addWebhooks makes what the API server asks answered.
func addWebhooks(ctx context.Context, o *serveOptions, mgr ctrl.Manager, kube kubernetes.Interface, f facts) error {
	handler, err := newHandler(ctx, o, kube, f)
	if err != nil {
		return err
	}
	if err := record(o, mgr, kube, handler); err != nil {
		return fmt.Errorf("set up recorder: %w", err)
	}
	dangling, err := newDangling(o, mgr, handler.Metrics)
	if err != nil {
		return err
	}
	if handler.Events, err = newRecorder(o, mgr); err != nil {
		return err
	}
	server := mgr.GetWebhookServer()
	server.Register(registration.PathPrefix, &admission.Webhook{Handler: handler, WithContextFunc: withDigest})
	server.Register(registration.DanglingPrefix, &admission.Webhook{Handler: dangling})
	return nil
}

// newUpkeep is what keeps the certificate and the registration right.
func newUpkeep(ctx context.Context, o *serveOptions, mgr ctrl.Manager, kube kubernetes.Interface, cert *certs.Keeper) (*upkeep, error) {
	state, err := newUpkeepMetrics(metrics.Registry, cert)
	if err != nil {
		return nil, err
	}
	return &upkeep{
		certificate:  cert,
		registration: newRegistration(o, kube),
		server:       mgr.GetWebhookServer(),
		rights:       rightsCheck(kube, o.set),
		election:     &election{kube: kube, namespace: o.namespace, ending: ctx.Done()},
		metrics:      state,
		ending:       ctx.Done(),
	}, nil
}

// newRegistration keeps what the API server is told, by webhooks and policies.
func newRegistration(o *serveOptions, kube kubernetes.Interface) *registration.Keeper {
	return &registration.Keeper{
		Kube: kube, Profiles: o.set, ClusterRole: o.clusterRole,
		Options:  registration.Options{Namespace: o.namespace, ServiceName: o.service, URL: o.webhookURL},
		Policies: []registration.Policy{registration.FencePolicy(o.namespace), registration.ApprovalsPolicy()},
	}
}

// drained ends some time after ctx, while which requests that are still sent
// here are answered: a Service takes a moment to notice that a Pod is ending.
func drained(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		ctrl.Log.Info("Holdfast ends", "after", after.String())
		timer := time.AfterFunc(after, stop)
		context.AfterFunc(running, func() { timer.Stop() })
	})
	return running, stop
}

func newManager(o *serveOptions, cert *certs.Keeper) (ctrl.Manager, error) {
	server := ctrlwebhook.Options{Port: o.port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.GetCertificate = cert.GetCertificate
		c.MinVersion = tls.VersionTLS12
	}}}
	// A webhook that only this machine can reach need not listen elsewhere.
	if host, ok := certs.IsLoopback(o.webhookURL); ok {
		server.Host = host
	}
	only := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	return ctrl.NewManager(o.restConfig, ctrl.Options{
		Scheme:                 scheme.Scheme,
		WebhookServer:          ctrlwebhook.NewServer(server),
		Metrics:                metricsserver.Options{BindAddress: o.metrics},
		HealthProbeBindAddress: o.health,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&admissionregistrationv1.ValidatingWebhookConfiguration{}: {Field: only(registration.Name)},
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{o.namespace: {FieldSelector: only(certs.SecretName)}}},
		}},
	})
}

func newHandler(ctx context.Context, o *serveOptions, kube kubernetes.Interface, f facts) (*webhook.Handler, error) {
	snapshots, err := newSnapshots(o)
	if err != nil {
		return nil, err
	}
	if err := snapshots.Prepare(ctx); err != nil {
		// It is tried again with every save; until then nothing guarded is deleted.
		ctrl.Log.Error(err, "Snapshots cannot be stored yet")
	}
	answers, err := webhook.NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	if f.live, err = newInstances(o.restConfig); err != nil {
		return nil, err
	}
	f.live.Own = o.namespace
	own := guard.Own{Copies: &own.Copies{Snapshots: snapshots, Metadata: f.live.Metadata, Kinds: f.live.Kinds}, Namespace: o.namespace}
	f.saved = savedIn(snapshots)
	return &webhook.Handler{
		Profiles: o.set, Rules: append(newRules(o.set, f), own), Finalizers: newFinalizers(o.set, f),
		Namespace: o.namespace,
		Snapshots: snapshots, Contents: f.live, Metrics: answers,
		Approvals: &approvals.Store{Client: f.live.Client, Now: time.Now}, Paused: pausedBy(kube),
		Timeout: decisionTime, Foreign: foreign(o.set.Digest()),
	}, nil
}

// newLogger writes JSON lines to the error stream.
func newLogger(o *serveOptions) logr.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(o.streams.ErrOut)), zapcore.Level(-o.verbosity)) //nolint:gosec // a small number
	return zapr.NewLogger(zap.New(core))
}

type digestKey struct{}

// withDigest notes which profiles the registration that led here was built
// from. When the process is asked to end, the server cancels the requests that
// are under way; an answer is finished instead, within its own time.
func withDigest(ctx context.Context, r *http.Request) context.Context {
	ctx = context.WithoutCancel(ctx)
	return context.WithValue(ctx, digestKey{}, strings.TrimPrefix(r.URL.Path, registration.PathPrefix))
}

// foreign tells a stray request from one that a Holdfast with other profiles
// has registered, as during an update: that one knows what it guards, so it
// must not be let through by this one, which does not.
func foreign(own string) func(context.Context, schema.GroupResource) error {
	return func(ctx context.Context, gr schema.GroupResource) error {
		if digest, _ := ctx.Value(digestKey{}).(string); digest == own {
			return nil
		}
		return fmt.Errorf("this replica of holdfast does not know %s: it runs with other profiles than those that are registered; try again when the update is done", gr)
	}
}
