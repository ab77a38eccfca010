// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var crdGroupResource = schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}

// definitions finds guarded CustomResourceDefinitions that are missing, on
// their way out, or whose objects cannot be read.
func definitions(w *world) []Finding {
	var found []Finding
	for _, k := range w.sorted() {
		if k.resource.Group == "" {
			continue
		}
		if k.definition == nil {
			found = append(found, missingDefinition(w, k)...)
			continue
		}
		found = append(found, goingDefinition(w, k)...)
		found = append(found, unreadableVersions(k)...)
	}
	return found
}

func ofDefinition(severity Severity, kind Kind, k *kind) Finding {
	return about(severity, kind, crdGroupResource, types.NamespacedName{Name: k.resource.String()})
}

// missingDefinition speaks of a definition only if objects of it were saved:
// what was never installed is not missing.
func missingDefinition(w *world, k *kind) []Finding {
	objects := map[string]bool{}
	for _, r := range w.records {
		if r.Problem == "" && r.GroupResource() == k.resource {
			objects[joinName(r.Namespace, r.Name)] = true
		}
	}
	if len(objects) == 0 {
		return nil
	}
	f := ofDefinition(Critical, KindCRDMissing, k)
	f.Detail = "it does not exist, and objects of it were saved: " + firstFew(slices.Sorted(maps.Keys(objects)))
	if o := w.going(); o != nil {
		// Whoever installs the operator now loses that.
		f.Mend = "do not install its operator yet: bring back first what is Terminating, and the operator with it: " + undo(o)
	} else if id := w.latest(crdGroupResource, types.NamespacedName{Name: f.Name}); id != "" {
		f.Mend = "install its operator again, or: holdfast recovery restore " + id
	} else {
		f.Mend = "install its operator again, then restore the objects: holdfast recovery list " + k.resource.String()
	}
	return []Finding{f}
}

// goingDefinition speaks of a definition that is being deleted.
func goingDefinition(w *world, k *kind) []Finding {
	if k.definition.DeletionTimestamp == nil {
		return nil
	}
	f := ofDefinition(Critical, KindCRDTerminating, k)
	f.Detail = fmt.Sprintf("it is Terminating since %s and takes its %s along", k.definition.DeletionTimestamp.UTC().Format(time.RFC3339), instances(len(k.objects)))
	f.Mend = "do not start the operator yet: it would finish the deletion. See what was saved of the objects: holdfast recovery list " + k.resource.String()
	if o := w.going(); o != nil {
		f.Mend = "do not start the operator yet: it would finish the deletion. Bring back first what is Terminating, and the operator with it: " + undo(o)
	}
	for _, o := range k.sorted() {
		if w.leaving(k, o) {
			f.Mend = "do not start the operator yet: it would finish the deletion. Bring the objects back first: " + undo(&goingObject{k, o})
			break
		}
	}
	for _, c := range k.definition.Status.Conditions {
		if c.Type == apiextensionsv1.Terminating && c.Reason == "InstanceDeletionFailed" {
			f.Kind = KindCRDStuck
			f.Detail = fmt.Sprintf("its deletion is stuck (%s): %s", c.Reason, c.Message)
		}
	}
	return []Finding{f}
}

// unreadableVersions speaks of objects that not all served versions show.
func unreadableVersions(k *kind) []Finding {
	if len(k.broken) == 0 {
		return nil
	}
	versions := slices.Sorted(maps.Keys(k.broken))
	why := k.broken[versions[0]]
	if k.version == "" {
		f := ofDefinition(Critical, KindUnreadable, k)
		f.Detail = fmt.Sprintf("its objects cannot be read in any version: %v", why)
		f.Mend = "bring the operator's conversion webhook back, or set spec.conversion to {strategy: None}"
		return []Finding{f}
	}
	f := ofDefinition(Warning, KindConversionBroken, k)
	f.Detail = fmt.Sprintf("its %s can be read in version %s only; %s fails: %v", instances(len(k.objects)), k.version, strings.Join(versions, ", "), why)
	f.Mend = fmt.Sprintf("bring the operator's conversion webhook back; until then read with: kubectl get %s.%s.%s -A", k.resource.Resource, k.version, k.resource.Group)
	return []Finding{f}
}

// storedVersions finds definitions whose objects may be stored in several
// versions and are converted by a webhook: without it, as after an uninstall of
// the operator, those in another than the stored version cannot be read.
func storedVersions(w *world) []Finding {
	var found []Finding
	for _, k := range w.sorted() {
		if k.definition == nil || len(k.objects) == 0 || len(k.definition.Status.StoredVersions) < 2 {
			continue
		}
		conversion := k.definition.Spec.Conversion
		if conversion == nil || conversion.Strategy != apiextensionsv1.WebhookConverter {
			continue
		}
		f := ofDefinition(Warning, KindStoredVersions, k)
		f.Detail = fmt.Sprintf("its objects may be stored in versions %s; without the operator's conversion webhook, some of them could not be read", strings.Join(k.definition.Status.StoredVersions, ", "))
		f.Mend = fmt.Sprintf("write each object once, which stores it in the current version: kubectl get %s -A -o yaml | kubectl replace -f -", k.resource)
		found = append(found, f)
	}
	return found
}

// goingObject is a guarded object that goes with its definition, which is Terminating.
type goingObject struct {
	kind   *kind
	object *object
}

// leaving says that an object of a Terminating definition is brought back by an undo.
func (w *world) leaving(k *kind, o *object) bool {
	return o.terminating != nil || k.resource == w.rescued
}

// going is the first such object, nil if there is none.
func (w *world) going() *goingObject {
	for _, k := range w.sorted() {
		if k.definition == nil || k.definition.DeletionTimestamp == nil {
			continue
		}
		for _, o := range k.sorted() {
			if w.leaving(k, o) {
				return &goingObject{k, o}
			}
		}
	}
	return nil
}

func undo(o *goingObject) string {
	return command("holdfast recovery undo", o.kind.resource.String(), o.object.Namespace, o.object.Name)
}

func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}
