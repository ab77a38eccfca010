// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// holdfastName is the webhook configuration of Holdfast itself.
const holdfastName = "holdfast"

// deadWebhooks finds webhooks whose Service is gone and that therefore refuse
// every write to a guarded kind.
func deadWebhooks(w *world) []Finding {
	var found []Finding
	for _, h := range w.hooks {
		if h.service == nil || len(h.guarded) == 0 || !h.blocks || w.services[*h.service] || h.configuration == holdfastName {
			continue
		}
		f := Finding{Severity: Critical, Kind: KindWebhookGone, Resource: h.resource, Name: h.configuration}
		f.Detail = fmt.Sprintf("its entry %s leads to service %s, which is gone; until it is back nothing can be written to %s", h.name, h.service, firstFew(h.guarded))
		f.Mend = "bring the operator back; if it is not to come back: " + command("kubectl delete", h.resource, "", h.configuration)
		found = append(found, f)
	}
	return found
}

// deadOwners finds objects whose owner, of a guarded kind, exists no more: the
// garbage collector deletes them as soon as it can look the owner's kind up.
func deadOwners(w *world) []Finding {
	var found []Finding
	for _, o := range w.owned {
		k := w.kindOf(o.owner.APIVersion, o.owner.Kind)
		if k != nil && !k.known() {
			continue // the owner may be there, unread
		}
		var detail string
		if k == nil {
			detail = fmt.Sprintf("it belongs to %s %s, whose kind is not installed; as soon as it is, the garbage collector deletes this", o.owner.Kind, o.owner.Name)
		} else {
			live := k.get(types.NamespacedName{Namespace: o.Namespace, Name: o.owner.Name})
			if live != nil && live.uid == o.owner.UID {
				continue
			}
			detail = fmt.Sprintf("it belongs to an earlier %s %s (UID %s), which exists no more; the garbage collector deletes it", o.owner.Kind, o.owner.Name, o.owner.UID)
		}
		f := Finding{Severity: Critical, Kind: KindOwnerGone, Resource: o.resource, Namespace: o.Namespace, Name: o.Name, Detail: detail}
		f.Mend = fmt.Sprintf("kubectl patch %s %s -n %s --type merge -p '{\"metadata\":{\"ownerReferences\":null}}'", o.resource, o.Name, o.Namespace)
		found = append(found, f)
	}
	return found
}

// kindOf finds a kind by what an ownerReference says; nil if it is not installed.
func (w *world) kindOf(apiVersion, name string) *kind {
	gv, _ := schema.ParseGroupVersion(apiVersion)
	for _, k := range w.kinds {
		if k.definition != nil && k.resource.Group == gv.Group && k.definition.Spec.Names.Kind == name {
			return k
		}
	}
	return nil
}

// snapshots finds snapshots that cannot be used, and recoveries that did not end.
func snapshots(w *world) []Finding {
	var found []Finding
	for _, r := range w.records {
		name := types.NamespacedName{Namespace: r.Namespace, Name: cmp.Or(r.Name, r.ID)}
		gr := schema.ParseGroupResource(cmp.Or(r.Resource, "snapshots"))
		switch {
		case r.Problem != "":
			f := about(Warning, KindSnapshotUnusable, gr, name)
			f.Detail = fmt.Sprintf("snapshot %s of it cannot be used: %s", r.ID, r.Problem)
			f.Mend = "holdfast recovery show " + r.ID
			found = append(found, f)
		case r.Journal.Open():
			f := about(Critical, KindRecoveryUnfinished, gr, name)
			f.Detail = fmt.Sprintf("its %s, begun by %s at %s, did not end", r.Journal.Operation, cmp.Or(r.Journal.User, "somebody"), r.Journal.At.UTC().Format("2006-01-02T15:04:05Z"))
			f.Mend = "holdfast recovery restore " + r.ID
			if r.Journal.Operation == "undo" {
				f.Mend = command("holdfast recovery undo", r.Resource, r.Namespace, r.Name)
			}
			found = append(found, f)
		}
	}
	return found
}

// managers finds guarded objects that a GitOps tool writes and that are, or will
// be, brought back: it may create them anew, or prune them, meanwhile.
func managers(w *world) []Finding {
	var found []Finding
	for _, k := range w.sorted() {
		if _, guarded := w.profiles.Guarded(k.resource); !guarded {
			continue
		}
		for _, o := range k.sorted() {
			if o.manager == "" || o.terminating == nil {
				continue
			}
			f := about(Warning, KindManaged, k.resource, o.NamespacedName)
			f.Detail = "it is Terminating and kept by " + o.manager + ", which may create it anew, or prune it, while it is brought back"
			f.Mend = "suspend that first, then: " + command("holdfast recovery undo", k.resource.String(), o.Namespace, o.Name)
			found = append(found, f)
		}
	}
	for _, m := range w.managed {
		f := about(Warning, KindManaged, m.saved.GroupResource(), types.NamespacedName{Namespace: m.saved.Namespace, Name: m.saved.Name})
		f.Detail = "it is gone and was kept by " + m.manager + ", which may have pruned it, and would do so again, or create it anew without its status"
		f.Mend = "put it back where that takes it from, or suspend that, then: " + w.bringBack(m.saved)
		found = append(found, f)
	}
	return found
}

// managedLimit bounds how many saved objects are read for their managers.
const managedLimit = 50

// readManaged finds out which of the missing objects a GitOps tool has written.
func (s *Scanner) readManaged(ctx context.Context, w *world) {
	for n, r := range missing(w) {
		if n == managedLimit {
			return
		}
		saved, err := s.Snapshots.Get(ctx, r.ID)
		if err != nil {
			continue // what cannot be used is a finding of its own
		}
		if manager := managerOf(saved.Object); manager != "" {
			w.managed = append(w.managed, managedObject{manager, r})
		}
	}
}

// readSets finds the latest sets of missing objects to which something belongs
// that has to be there before them: by themselves they must not come back.
func (s *Scanner) readSets(ctx context.Context, w *world) {
	for n, r := range missing(w) {
		g, _ := w.profiles.Guarded(r.GroupResource())
		if n == managedLimit {
			return
		}
		if len(g.BeforeOwner()) == 0 {
			continue
		}
		set, err := s.Snapshots.LastComplete(ctx, r.UID)
		if err != nil {
			continue // a restore of the object alone says what is missing
		}
		w.sets[r.UID] = set.ID
	}
}

// bringBack is the command that brings back what r is of.
func (w *world) bringBack(r snapshot.Record) string {
	if set := w.sets[r.UID]; set != "" {
		return "holdfast recovery restore --set " + set
	}
	return "holdfast recovery restore " + r.ID
}

// managerOf names the GitOps tool that writes o, by the marks that these leave
// (argo-cd.readthedocs.io, user guide, resource tracking; fluxcd.io, Kustomization
// and HelmRelease, labels of ownership).
func managerOf(o *unstructured.Unstructured) string {
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	if id := annotations["argocd.argoproj.io/tracking-id"]; id != "" {
		app, _, _ := strings.Cut(id, ":")
		return "Argo CD application " + app
	}
	if app := labels["argocd.argoproj.io/instance"]; app != "" {
		return "Argo CD application " + app
	}
	for _, tool := range []struct{ group, kind string }{{"kustomize.toolkit.fluxcd.io", "Kustomization"}, {"helm.toolkit.fluxcd.io", "HelmRelease"}} {
		if name := labels[tool.group+"/name"]; name != "" {
			return fmt.Sprintf("Flux %s %s", tool.kind, joinName(labels[tool.group+"/namespace"], name))
		}
	}
	return ""
}
