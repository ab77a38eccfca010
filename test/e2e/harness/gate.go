// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// Write is a request of a command that changes something.
type Write struct {
	Method, Path string
	Body         []byte
}

// Verdict is what a Gate does with a write.
type Verdict string

const (
	// Pass lets it through.
	Pass Verdict = "pass"
	// Refuse answers it with Forbidden; it does not reach the API server.
	Refuse Verdict = "refuse"
	// Kill lets it through and kills the command, which never learns of it.
	Kill Verdict = "kill"
)

// Gate is between a command and the API server, which it reaches as an
// administrator, and sees what the command writes.
type Gate struct {
	server     *httptest.Server
	kubeconfig string
	pass       http.Handler

	mu      sync.Mutex
	judge   func(Write) Verdict
	command *os.Process
}

// NewGate opens a gate to cluster.
func NewGate(cluster *controlplane.Cluster) (*Gate, error) {
	target, err := url.Parse(cluster.Config.Host)
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	transport, err := rest.TransportFor(cluster.Config)
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	g := &Gate{pass: &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	g.server = httptest.NewServer(g)
	dir, err := os.MkdirTemp(cluster.Dir, "gate-")
	if err == nil {
		g.kubeconfig = filepath.Join(dir, "kubeconfig")
		err = os.WriteFile(g.kubeconfig, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: gate,
clusters: [{name: gate, cluster: {server: %q}}], users: [{name: gate}], contexts: [{name: gate, context: {cluster: gate, user: gate}}]}
`, g.server.URL), 0o600)
	}
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("open gate: %w", err)
	}
	return g, nil
}

// Close ends it.
func (g *Gate) Close() {
	g.server.CloseClientConnections()
	g.server.Close()
}

// Holdfast runs holdfast through the gate, one command at a time. Each of its
// writes waits until judge, which is asked about several at a time, has said
// what becomes of it; what has no effect is no write.
func (g *Gate) Holdfast(ctx context.Context, r Runner, judge func(Write) Verdict, args ...string) Result {
	g.mu.Lock()
	g.judge = judge
	g.mu.Unlock()
	r.Kubeconfig = g.kubeconfig
	r.Started = func(p *os.Process) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.command = p
	}
	return r.Holdfast(ctx, args...)
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reads(r) {
		g.pass.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the command is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.mu.Lock()
	judge := g.judge
	g.mu.Unlock()
	switch judge(Write{r.Method, r.URL.Path, body}) {
	case Refuse:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "refused at the gate"}`)
	case Kill:
		g.pass.ServeHTTP(httptest.NewRecorder(), r)
		g.mu.Lock()
		defer g.mu.Unlock()
		if err := g.command.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			panic(err)
		}
	default:
		g.pass.ServeHTTP(w, r)
	}
}

func reads(r *http.Request) bool {
	return r.Method == http.MethodGet || r.URL.Query().Has("dryRun") ||
		strings.HasPrefix(r.URL.Path, "/apis/authentication.k8s.io/") || strings.HasPrefix(r.URL.Path, "/apis/authorization.k8s.io/")
}
