// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Accounts are the names under which the operators of a profile make requests.
type Accounts struct {
	// Users are those that are known, sorted.
	Users []string
	// Known says that there are no others. Otherwise any service account may
	// be an operator's.
	Known bool
}

const (
	// terminatingObject also takes a request without its object: Holdfast then
	// refuses.
	terminatingObject = "oldObject == null || has(oldObject.metadata.deletionTimestamp)"
	fewerFinalizers   = "has(oldObject.metadata.finalizers) && (!has(object.metadata.finalizers) || !oldObject.metadata.finalizers.all(f, f in object.metadata.finalizers))"
	// fewerInSpec is the same for those that namespaces have in their spec.
	fewerInSpec = "has(oldObject.spec) && has(oldObject.spec.finalizers) && (!has(object.spec) || !has(object.spec.finalizers) || !oldObject.spec.finalizers.all(f, f in object.spec.finalizers))"
	// ofControlPlane are the identities that finish what was decided before: the
	// API server the deletion of definitions, the others that of namespaces and
	// of what owners take along.
	ofControlPlane = "request.userInfo.username in ['system:apiserver', 'system:kube-controller-manager', 'system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector']"
	// marked is an undo: the mark is set in this very request.
	marked = "object.metadata.?annotations[?'" + v1alpha1.UndoMark + "'].orValue('') == oldObject.metadata.uid" +
		" && oldObject.metadata.?annotations[?'" + v1alpha1.UndoMark + "'].orValue('') != oldObject.metadata.uid"
	byServiceAccount = "request.userInfo.username.startsWith('system:serviceaccount:')"
)

// finalizerEntries are for updates that take finalizers from what is being
// deleted; no other update is sent. While Holdfast is away, nobody may do so
// but those whose work it is, the operators, the control plane and an undo.
func finalizerEntries(set *profile.Set, o Options) []admissionv1.ValidatingWebhook {
	resources := guardedResources(set)
	conditions := []admissionv1.MatchCondition{
		{Name: "terminating", Expression: terminatingObject},
		{Name: "fewer-finalizers", Expression: "oldObject == null || " + fewerFinalizers},
	}
	if names := set.CRDs(); len(names) > 0 {
		resources = append(resources, profile.CRDResource())
		conditions = append(conditions, admissionv1.MatchCondition{
			Name: "guarded", Expression: "request.resource.resource != 'customresourcedefinitions' || oldObject == null || " + isOneOf(names),
		})
	}
	rules := updatesOf(resources, "status")
	byProgram := strings.Join(append([]string{ofControlPlane, marked}, operatorsOf(set, o)...), " || ")
	with := func(c admissionv1.MatchCondition) []admissionv1.MatchCondition {
		return append(slices.Clone(conditions), c)
	}
	entries := []admissionv1.ValidatingWebhook{
		deletionEntry(set, o, admissionv1.ValidatingWebhook{
			Name: "finalizers.holdfast.dev", Rules: rules, FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConditions: with(admissionv1.MatchCondition{Name: "not-by-program", Expression: "oldObject == null || !(" + byProgram + ")"}),
		}),
		deletionEntry(set, o, admissionv1.ValidatingWebhook{
			Name: "clean-up.holdfast.dev", Rules: rules, FailurePolicy: ptr.To(admissionv1.Ignore),
			MatchConditions: with(admissionv1.MatchCondition{Name: "by-program", Expression: "oldObject != null && (" + byProgram + ")"}),
		}),
	}
	if !set.GuardsNamespaces() || len(o.Holding) == 0 {
		return entries
	}
	listed := isOneOf(o.Holding)
	if len(listed) > mostListed {
		listed = "true"
	}
	// A namespace that goes without its finalizers leaves what it holds behind.
	return append(entries, deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name: "namespace-finalizers.holdfast.dev", FailurePolicy: ptr.To(admissionv1.Fail),
		Rules: updatesOf([]schema.GroupResource{profile.NamespaceResource()}, "status", "finalize"),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "terminating", Expression: terminatingObject},
			{Name: "fewer-finalizers", Expression: "oldObject == null || " + fewerFinalizers + " || " + fewerInSpec},
			{Name: holdsGuarded, Expression: "oldObject == null || " + listed},
			{Name: "not-clean-up", Expression: "!(" + ofControlPlane + ")"},
		},
	}))
}

// operatorsOf are conditions, one a profile, that hold for updates by its operators.
func operatorsOf(set *profile.Set, o Options) []string {
	resources := map[string][]string{}
	for _, g := range set.Resources() {
		resources[g.Profile] = append(resources[g.Profile], g.Resource.Resource+"."+g.Resource.Group)
	}
	var conditions []string
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		who := byServiceAccount
		if accounts := o.Operators[name]; accounts.Known {
			who = "request.userInfo.username in ['" + strings.Join(accounts.Users, "', '") + "']"
		}
		conditions = append(conditions, fmt.Sprintf("request.resource.resource + '.' + request.resource.group in ['%s'] && %s",
			strings.Join(resources[name], "', '"), who))
	}
	return conditions
}

// updatesOf are rules for updates of resources, and through subresources of theirs.
func updatesOf(resources []schema.GroupResource, subresources ...string) []admissionv1.RuleWithOperations {
	var all []schema.GroupResource
	for _, gr := range resources {
		all = append(all, gr)
		for _, sub := range subresources {
			all = append(all, schema.GroupResource{Group: gr.Group, Resource: gr.Resource + "/" + sub})
		}
	}
	return rulesFor(all, admissionv1.Update)
}

// deniedDeleteEntries are for deletions by operators of what they may not
// delete. While Holdfast is away they are refused.
func deniedDeleteEntries(set *profile.Set, o Options) []admissionv1.ValidatingWebhook {
	var resources []schema.GroupResource
	var conditions []string
	for _, op := range set.Operators() {
		for i := range op.DenyDeletes {
			d := &op.DenyDeletes[i]
			if !slices.Contains(resources, d.Resource) {
				resources = append(resources, d.Resource)
			}
			conditions = append(conditions, deniedDelete(op, d, o))
		}
	}
	if len(resources) == 0 {
		return nil
	}
	return []admissionv1.ValidatingWebhook{deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name: "denied-delete.holdfast.dev", Rules: rulesFor(resources, admissionv1.Delete), FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "first-delete", Expression: firstDelete},
			{Name: "not-clean-up", Expression: "!(" + ofControlPlane + ")"},
			{Name: "by-operator", Expression: byServiceAccount},
			{Name: "denied", Expression: "oldObject == null || " + strings.Join(conditions, " || ")},
		},
	})}
}

// deniedDelete holds for one denied deletion, as far as can be told without
// the objects whose names are filled in.
func deniedDelete(op *profile.Operator, d *profile.DeniedDelete, o Options) string {
	parts := []string{"request.resource.resource == '" + d.Resource.Resource + "'", "request.resource.group == '" + d.Resource.Group + "'"}
	if accounts := o.Operators[op.Profile]; accounts.Known {
		parts = append(parts, "request.userInfo.username in ['"+strings.Join(accounts.Users, "', '")+"']")
	}
	for _, text := range d.Prefix.Texts() {
		if d.Prefix.Constant() {
			parts = append(parts, "oldObject.metadata.name.startsWith('"+text+"')")
			continue
		}
		parts = append(parts, "oldObject.metadata.name.contains('"+text+"')")
	}
	return strings.Join(parts, " && ")
}
