// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/release"
)

var deploymentResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// helmRelease is what there is of a Helm release that guarded definitions belong to.
type helmRelease struct {
	release.Key
	// revision and status are of the newest revision; zero when there is none.
	revision int
	status   release.Status
	// deployments counts those that bear its mark.
	deployments int
	// definitions are those that bear its mark.
	definitions []*kind
}

// readReleases reads what there is of the releases that own guarded definitions,
// and of those whose records were saved: of these the definitions may be gone.
func (s *Scanner) readReleases(ctx context.Context, w *world) {
	found := map[release.Key]*helmRelease{}
	of := func(key release.Key) *helmRelease {
		if found[key] == nil {
			found[key] = &helmRelease{Key: key}
		}
		return found[key]
	}
	for _, k := range w.sorted() {
		if k.definition == nil {
			continue
		}
		if key, ok := release.Of(k.definition); ok {
			r := of(key)
			r.definitions = append(r.definitions, k)
		}
	}
	for _, r := range w.records {
		if name, ok := releaseSecret(r.Name); ok && r.Resource == "secrets" {
			of(release.Key{Namespace: r.Namespace, Name: name})
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(found), release.Compare) {
		w.cannot("Helm release "+key.String(), s.readRelease(ctx, found[key]))
		w.releases = append(w.releases, found[key])
	}
}

// releaseSecret takes the name of a release from that of a Secret in which Helm
// keeps one of its revisions.
func releaseSecret(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "sh.helm.release.v1.")
	i := strings.LastIndex(rest, ".v")
	if !ok || i <= 0 {
		return "", false
	}
	return rest[:i], true
}

func (s *Scanner) readRelease(ctx context.Context, r *helmRelease) error {
	secrets, err := s.Metadata.Resource(secretResource).Namespace(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + r.Name})
	if err != nil {
		return err
	}
	for _, m := range secrets.Items {
		if n, err := strconv.Atoi(m.Labels["version"]); err == nil && n > r.revision {
			r.revision, r.status = n, release.Status(m.Labels["status"])
		}
	}
	deployments, err := s.Metadata.Resource(deploymentResource).Namespace(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range deployments.Items {
		if key, ok := release.Of(&deployments.Items[i]); ok && key == r.Key && deployments.Items[i].DeletionTimestamp == nil {
			r.deployments++
		}
	}
	return nil
}

// unsettled finds releases that Helm has left half done.
func unsettled(w *world) []Finding {
	var found []Finding
	for _, r := range w.releases {
		f := ofRelease(Warning, KindRelease, r)
		switch {
		case r.status == release.Uninstalling:
			f.Severity = Critical
			f.Detail = fmt.Sprintf("its uninstallation began and did not end (revision %d is %s); the next 'helm uninstall' goes on with it", r.revision, r.status)
			f.Mend = command("holdfast recovery restore", "release", r.Namespace, r.Name)
		case r.status == release.Failed:
			f.Detail = fmt.Sprintf("its latest revision, %d, is %s: not all of it may be there", r.revision, r.status)
			f.Mend = helm("history", r) + ", then: " + helm("rollback", r)
		case r.status.Pending():
			f.Detail = fmt.Sprintf("its latest revision, %d, is %s: Helm is at work on it, or was stopped while it was", r.revision, r.status)
			f.Mend = "wait for Helm; if nobody runs it: " + helm("rollback", r)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

// operatorsGone finds definitions with instances whose operator is not there.
func operatorsGone(w *world) []Finding {
	var found []Finding
	for _, r := range w.releases {
		n := 0
		var first *kind
		for _, k := range r.definitions {
			n += len(k.objects)
			if first == nil && len(k.objects) > 0 {
				first = k
			}
		}
		if n == 0 || r.deployments > 0 || !operates(w, r) {
			continue
		}
		f := ofRelease(Critical, KindOperatorGone, r)
		f.Detail = fmt.Sprintf("it has no Deployment: the operator of %s of %s is gone, nobody looks after them, and they must not be deleted", instances(n), first.resource)
		f.Mend = command("holdfast recovery restore", "release", r.Namespace, r.Name)
		if r.status == release.Deployed {
			f.Mend = "see why it has none: " + helm("status", r)
		}
		if o := w.going(); o != nil && slices.Contains(r.definitions, o.kind) {
			f.Mend = "bring back what is Terminating, and the operator with it: " + undo(o)
		}
		found = append(found, f)
	}
	return found
}

// operates says that a profile expects an operator where r is.
func operates(w *world, r *helmRelease) bool {
	for _, o := range w.profiles.Operators() {
		for _, k := range r.definitions {
			if slices.Contains(o.OfCRDs, k.resource.String()) {
				return true
			}
		}
	}
	return false
}

func ofRelease(severity Severity, kind Kind, r *helmRelease) Finding {
	return about(severity, kind, schema.GroupResource{Resource: "release"}, types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
}

func helm(verb string, r *helmRelease) string {
	return "helm " + verb + " " + r.Name + " -n " + r.Namespace
}
