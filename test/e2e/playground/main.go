// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Command playground shows Holdfast at work. It starts a real control plane and
// 'holdfast serve', loads NuoDB's CRDs and sample objects, and plays a story
// with real commands, each step of which it checks. Then it stays up, to be
// tried out, until it is interrupted. With -once it ends after the story.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

func main() {
	once := flag.Bool("once", false, "end after the story")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // a process starts from an empty context
	out := newScreen(os.Stdout)
	err := run(ctx, out, *once)
	stop()
	if err != nil {
		out.failure(err)
		os.Exit(1)
	}
}

// run starts everything, plays the story, and waits for the end.
func run(ctx context.Context, out *screen, once bool) (err error) {
	began := time.Now()
	out.title("Holdfast: refuse, save, bring back")
	out.say("A real etcd, kube-apiserver and kube-controller-manager start on this machine, on loopback. Holdfast runs beside them as its Helm chart would run it: with the chart's rights and no others.")
	cluster, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	out.done("the control plane is up (%.1f s)", time.Since(began).Seconds())

	// The rights to read the release of an operator, and Secrets, are given in their namespaces.
	for _, space := range []string{operatorSpace, homeSpace} {
		if r := (harness.Runner{Cluster: cluster, Kubeconfig: cluster.Kubeconfig}).Kubectl(ctx, "create", "namespace", space); r.Code != 0 {
			return errors.New(r.Stderr)
		}
	}
	holdfast, err := harness.Install(ctx, cluster, harness.Options{
		Profiles: []string{"nuodb", "astarte"},
		Values:   map[string]any{"releaseNamespaces": []string{operatorSpace}, "secretNamespaces": []string{operatorSpace, homeSpace}, "continuousBackup": true},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, holdfast.Stop()) }()
	s := &story{ctx: ctx, out: out, holdfast: holdfast, user: holdfast.Admin()}
	// A delete that should be refused and is not waits for the finalizer for ever.
	s.user.Timeout = 20 * time.Second
	if s.client, err = dynamic.NewForConfig(cluster.Config); err != nil {
		return err
	}
	if s.chart, err = operatorChart(ctx, cluster.Dir); err != nil {
		return err
	}
	if err := harness.LoadNuoDB(ctx, s.user); err != nil {
		return err
	}
	out.done("NuoDB's CRDs and sample objects are loaded")
	if err := holdfast.Start(ctx); err != nil {
		return err
	}
	out.done("'holdfast serve --profiles=nuodb,astarte' is ready (%.1f s)", time.Since(began).Seconds())

	if err := s.play(); err != nil {
		return err
	}
	out.title("The story is told: %d checks, all as expected, in %.0f s", s.checks, time.Since(began).Seconds())
	if once {
		return nil
	}
	invite(out, holdfast)
	select {
	case <-ctx.Done():
		out.say("")
		out.say("Stopping; nothing is left behind.")
		return nil
	case <-holdfast.Ended():
		return errors.New("'holdfast serve' has ended by itself")
	}
}

// invite says how to use what is running.
func invite(out *screen, holdfast *harness.Holdfast) {
	cluster := holdfast.Cluster
	out.heading("Now you")
	out.say("The cluster stays up until Ctrl-C. In another terminal:")
	out.line("")
	out.line("  export KUBECONFIG=%s", cluster.Kubeconfig)
	out.line("  export PATH=%s:%s:$PATH", filepath.Dir(holdfast.Binary), cluster.Bin)
	out.line("")
	out.say("Things to try:")
	out.line("")
	for _, try := range [][2]string{
		{"kubectl get servicetiers,helmfeatures,domains,databases -A", "what there is"},
		{"holdfast explain tier n1.small -n nuodb-cp-system", "who uses it, and what a delete would be answered"},
		{"kubectl delete servicetiers --all -n nuodb-cp-system --wait=false", "only the unused one goes; the operator that would finish that is missing here"},
		{"holdfast recovery undo tier n2.unused -n nuodb-cp-system", "and this brings it back"},
		{"kubectl delete validatingwebhookconfiguration holdfast", "it is there again at once"},
		{"holdfast recovery list", "what was saved"},
		{"kubectl get secrets -n " + holdfast.Namespace, "where it is kept"},
	} {
		out.line("  %s", try[0])
		out.line("      %s", out.dim(try[1]))
	}
	out.line("")
	out.say(fmt.Sprintf("Holdfast's own log: %s", holdfast.LogFile()))
}
