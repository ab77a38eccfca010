// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	helm "helm.sh/helm/v4/pkg/release/v1"
	helmutil "helm.sh/helm/v4/pkg/release/v1/util"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/release"
)

// Plan finds out what there is of a release and how it comes back. Saved are
// Secrets of its revisions as they were saved; those in the cluster are read
// as well, and count more. Without any, the error is an ErrUnknown. Nothing is
// changed.
func (h *Helm) Plan(ctx context.Context, key release.Key, saved []*corev1.Secret) (*Plan, error) {
	live, err := h.revisions(ctx, key)
	if err != nil {
		return nil, err
	}
	p := &Plan{Namespace: key.Namespace, Name: key.Name}
	p.choose(live, latestLife(readAll(key, saved)))
	if p.revision == nil {
		return nil, fmt.Errorf("%w %q: neither a Secret of it nor a saved one", ErrUnknown, key)
	}
	p.Revision = p.revision.Number
	plain, err := p.revision.Record()
	if err != nil {
		return nil, err
	}
	record := &helm.Release{}
	if err := json.Unmarshal(plain, record); err != nil {
		return nil, fmt.Errorf("read revision %d of Helm release %q: %w", p.Revision, key, err)
	}
	if record.Chart != nil && record.Chart.Metadata != nil {
		p.Chart = record.Chart.Metadata.Name + "-" + record.Chart.Metadata.Version
	}
	if p.State == StatePending {
		p.Refused = fmt.Sprintf("Helm is at work on it, or was stopped while it was (revision %d); wait for it, or see 'helm history %s -n %s' and roll it back", p.Revision, key.Name, key.Namespace)
		return p, nil
	}
	if err := p.read(record); err != nil {
		return nil, fmt.Errorf("read revision %d of Helm release %q: %w", p.Revision, key, err)
	}
	return p, h.look(ctx, p)
}

// revisions are those that are in the cluster, the superseded ones too.
func (h *Helm) revisions(ctx context.Context, key release.Key) ([]*release.Revision, error) {
	secrets, err := h.Kube.CoreV1().Secrets(key.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "owner=helm,name=" + key.Name, FieldSelector: "type=" + string(release.SecretType),
	})
	if err != nil {
		return nil, fmt.Errorf("read Helm release %q: %w", key, err)
	}
	var all []*corev1.Secret
	for i := range secrets.Items {
		all = append(all, &secrets.Items[i])
	}
	return readAll(key, all), nil
}

// readAll are the revisions of a release among secrets, oldest first.
func readAll(key release.Key, secrets []*corev1.Secret) []*release.Revision {
	var all []*release.Revision
	for _, s := range secrets {
		if r, ok := release.Read(s); ok && r.Key == key {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *release.Revision) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// choose decides which revision comes back. What is deployed stays; else the
// newest does, and of two records of one revision the saved one: it was saved
// before the uninstallation wrote to it.
func (p *Plan) choose(live, saved []*release.Revision) {
	newest := newestOf(live)
	switch {
	case newest == nil:
		p.State = StateGone
	case newest.Status.Pending():
		p.State, p.revision = StatePending, newest
		return
	default:
		p.State = StateFailed
		if newest.Status == release.Uninstalling || newest.Status == release.Uninstalled {
			p.State = StateUninstalling
		}
		p.revision = newest
		for _, r := range live {
			if r.Status == release.Deployed {
				p.State, p.revision = StateDeployed, r
			}
		}
	}
	if p.State != StateDeployed {
		for _, r := range saved {
			if r.Status == release.Deployed && (p.revision == nil || r.Number >= p.revision.Number) {
				p.revision = r
			}
		}
		if p.revision == nil {
			p.revision = newestOf(saved)
		}
	}
	for _, r := range live {
		if p.revision.Number == r.Number {
			p.live = r.Secret()
		}
	}
	if p.State == StateGone && p.revision != nil {
		p.keepHistory(saved)
	}
}

// keepHistory notes the older revisions that are put back beside the chosen one.
func (p *Plan) keepHistory(saved []*release.Revision) {
	older := map[int]*release.Revision{}
	for _, r := range saved {
		if r.Number < p.revision.Number && (r.Status == release.Superseded || (r.Status == release.Deployed && older[r.Number] == nil)) {
			older[r.Number] = r
		}
	}
	for _, number := range slices.Sorted(maps.Keys(older)) {
		p.history = append(p.history, older[number])
	}
	p.History = len(p.history)
	if p.revision.Number > 1 && p.History == 0 {
		p.note("its older revisions are not saved: 'helm rollback' has nothing to go back to")
	}
}

func newestOf(revisions []*release.Revision) *release.Revision {
	if len(revisions) == 0 {
		return nil
	}
	return revisions[len(revisions)-1]
}

// read takes the objects from what Helm has stored, in the order in which Helm
// installs them.
func (p *Plan) read(record *helm.Release) error {
	if record.Chart != nil {
		for _, crd := range record.Chart.CRDObjects() {
			objects, err := release.Split(string(crd.File.Data))
			if err != nil {
				return fmt.Errorf("definitions of the chart: %w", err)
			}
			for _, o := range objects {
				p.add(o).Definition = true
			}
		}
	}
	objects, err := release.Split(record.Manifest)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(place(a.GetKind()), place(b.GetKind()))
	})
	for _, o := range objects {
		p.add(o)
	}
	if p.State == StateDeployed {
		return nil // its hooks have run
	}
	return p.readHooks(record.Hooks)
}

// place is where a kind comes in an installation; unknown ones come last.
func place(kind string) int {
	if i := slices.Index(helmutil.InstallOrder, kind); i >= 0 {
		return i
	}
	return len(helmutil.InstallOrder)
}

func (p *Plan) add(o *unstructured.Unstructured) *Object {
	added := &Object{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), object: o}
	p.Objects = append(p.Objects, added)
	return added
}

// look finds out what there is of each object.
func (h *Helm) look(ctx context.Context, p *Plan) error {
	if err := h.lookForNamespace(ctx, p); err != nil {
		return err
	}
	var missing []string
	for _, o := range p.Objects {
		mapping, err := h.mapping(ctx, o)
		if err != nil {
			return err
		}
		if mapping == nil {
			if !p.defines(o) {
				missing = append(missing, fmt.Sprintf("%s (%s)", o.Kind, o.APIVersion))
			}
			o.Presence = Missing
			continue
		}
		o.place(mapping, p.Namespace)
		live, err := h.client(mapping, o).Get(ctx, o.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			o.Presence = Missing
		case err != nil:
			return fmt.Errorf("get %s: %w", o, err)
		default:
			if err := h.judge(ctx, p, o, live); err != nil {
				return err
			}
		}
	}
	if len(missing) > 0 && p.Refused == "" {
		slices.Sort(missing)
		p.Refused = fmt.Sprintf("the cluster has no %s, of which the release has objects; install what defines them first, then run this again", strings.Join(slices.Compact(missing), ", "))
	}
	return nil
}

// lookForNamespace plans for the release's own namespace.
func (h *Helm) lookForNamespace(ctx context.Context, p *Plan) error {
	ns, err := h.Kube.CoreV1().Namespaces().Get(ctx, p.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": p.Namespace}}}
		p.Objects = slices.Insert(p.Objects, 0, &Object{APIVersion: "v1", Kind: "Namespace", Name: p.Namespace, Definition: true, object: o})
		p.note("its namespace %q is gone and is created without what else was in it", p.Namespace)
	case apierrors.IsForbidden(err):
	case err != nil:
		return fmt.Errorf("get namespace %q: %w", p.Namespace, err)
	case ns.DeletionTimestamp != nil:
		p.Refused = fmt.Sprintf("its namespace %q is Terminating; wait until it is gone, then run this again", p.Namespace)
	}
	return nil
}
