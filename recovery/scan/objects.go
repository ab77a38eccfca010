// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// shown is how many objects a sentence names before it counts.
const shown = 3

// terminating finds guarded objects that are held by their finalizers alone.
func terminating(w *world) []Finding {
	var found []Finding
	for _, k := range w.sorted() {
		if _, guarded := w.profiles.Guarded(k.resource); !guarded {
			continue
		}
		for _, o := range k.sorted() {
			if o.terminating == nil {
				continue
			}
			f := about(Critical, KindTerminating, k.resource, o.NamespacedName)
			f.Detail = fmt.Sprintf("it is Terminating since %s, ", o.terminating.UTC().Format(time.RFC3339))
			if len(o.finalizers) == 0 {
				f.Detail += "held by nothing any more; it is about to go"
			} else {
				f.Detail += "held by " + strings.Join(o.finalizers, ", ") + "; when that is removed, it is gone"
			}
			if users := w.users(k, o.NamespacedName); len(users) > 0 {
				f.Detail += ". It is in use by " + firstFew(users)
			}
			f.Mend = command("holdfast recovery undo", k.resource.String(), o.Namespace, o.Name)
			found = append(found, f)
		}
	}
	return found
}

// missingReferenced finds references to guarded objects that do not exist.
func missingReferenced(w *world) []Finding {
	type target struct {
		gr schema.GroupResource
		types.NamespacedName
	}
	users := map[target][]string{}
	for _, e := range w.edges {
		k := w.kinds[e.to]
		if k == nil || !k.known() || k.get(e.target) != nil {
			continue
		}
		t := target{e.to, e.target}
		if k.clustered() {
			t.Namespace = ""
		}
		users[t] = append(users[t], e.from.String()+" "+e.referrer.String())
	}
	var found []Finding
	for t, by := range users {
		slices.Sort(by)
		f := about(Critical, KindMissingReferenced, t.gr, t.NamespacedName)
		f.Detail = "it does not exist, and is in use by " + firstFew(slices.Compact(by))
		if id := w.latest(t.gr, t.NamespacedName); id != "" {
			f.Mend = "holdfast recovery restore " + id
		} else {
			f.Detail += "; no snapshot of it is known"
			f.Mend = "create it again from where it is described, or point its users to another"
		}
		found = append(found, f)
	}
	return found
}

// missing are the latest snapshots of guarded objects that exist no more.
func missing(w *world) []snapshot.Record {
	var latest []snapshot.Record
	seen := map[string]bool{}
	for _, r := range w.records { // newest first
		gr := r.GroupResource()
		_, guarded := w.profiles.Guarded(gr)
		k := w.kinds[gr]
		name := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
		key := gr.String() + " " + name.String()
		if r.Problem != "" || !guarded || k == nil || !k.known() || k.get(name) != nil || seen[key] {
			continue
		}
		seen[key] = true
		latest = append(latest, r)
	}
	return latest
}

// missingSaved finds saved guarded objects that exist no more and that nothing
// refers to: those that went past Holdfast, and those that perhaps somebody
// meant to go, perhaps not.
func missingSaved(w *world) []Finding {
	referenced := map[string]bool{}
	for _, f := range missingReferenced(w) {
		referenced[f.String()] = true
	}
	var found []Finding
	for _, r := range missing(w) {
		f := about(Notice, KindMissingSaved, r.GroupResource(), types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
		if referenced[f.String()] {
			continue
		}
		f.Mend = w.bringBack(r)
		if r.Bypass {
			f.Severity, f.Kind = Critical, KindBypassed
			f.Detail = fmt.Sprintf("it went without Holdfast being asked, and was noticed at %s; its last state is of %s", r.StateAt.UTC().Format(time.RFC3339), r.SavedAt.UTC().Format(time.RFC3339))
		} else {
			f.Detail = fmt.Sprintf("it does not exist any more; last saved at %s (%s by %s)", r.LastAt().UTC().Format(time.RFC3339), cmp.Or(r.Operation, "saved"), cmp.Or(r.LastBy(), "nobody known"))
			f.Mend += "   # if it is missed"
		}
		found = append(found, f)
	}
	return found
}

// missingRevisions finds pins to revisions that their targets do not keep.
func missingRevisions(w *world) []Finding {
	var found []Finding
	for _, e := range w.edges {
		k := w.kinds[e.to]
		if e.revision == "" || k == nil || !k.known() {
			continue
		}
		target := k.get(e.target)
		if target == nil || target.revisions == nil || target.revisions[e.revision] {
			continue
		}
		f := about(Critical, KindRevisionMissing, e.from, e.referrer)
		f.Detail = fmt.Sprintf("it pins revision %s of %s %s, which that does not keep", e.revision, e.to, e.target)
		f.Mend = fmt.Sprintf("point it to a revision that exists, or see what was saved: holdfast recovery list %s %s", e.to, e.target.Name)
		if e.target.Namespace != "" {
			f.Mend += " -n " + e.target.Namespace
		}
		found = append(found, f)
	}
	return found
}

// known says that the objects of k are all those there are.
func (k *kind) known() bool {
	return k.version != "" || k.resource.Group != "" && k.definition == nil
}

func about(severity Severity, kind Kind, gr schema.GroupResource, name types.NamespacedName) Finding {
	return Finding{Severity: severity, Kind: kind, Resource: gr.String(), Namespace: name.Namespace, Name: name.Name}
}

// users names what refers to an object of k, sorted.
func (w *world) users(k *kind, name types.NamespacedName) []string {
	var users []string
	for _, e := range w.edges {
		if e.to == k.resource && e.target.Name == name.Name && (k.clustered() || e.target.Namespace == name.Namespace) {
			users = append(users, e.from.String()+" "+e.referrer.String())
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// latest is the newest usable snapshot of an object.
func (w *world) latest(gr schema.GroupResource, name types.NamespacedName) string {
	for _, r := range w.records {
		if r.Problem == "" && r.GroupResource() == gr && r.Namespace == name.Namespace && r.Name == name.Name {
			return r.ID
		}
	}
	return ""
}

// firstFew names the first of many and counts the others.
func firstFew(names []string) string {
	text := strings.Join(names[:min(shown, len(names))], ", ")
	if len(names) > shown {
		text += fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return text
}
