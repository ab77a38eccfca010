// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/profile"
)

const (
	holdingEntry = "namespace.holdfast.dev"
	// holdsGuarded is the name of the condition that lists namespaces.
	holdsGuarded = "holds-guarded"
	// otherSeconds bounds how long the deletion of a namespace without guarded
	// objects waits while Holdfast is away.
	otherSeconds = 1
	// mostListed is how much text the list of namespaces may take; the API
	// server takes no longer expressions than 100,000 code points. With more,
	// no namespace is deleted while Holdfast is away.
	mostListed = 80_000
)

// definitionEntries are for the deletion of the definitions of guarded
// resources; that of any other is not sent.
func definitionEntries(set *profile.Set, o Options) []admissionv1.ValidatingWebhook {
	names := set.CRDs()
	if len(names) == 0 {
		return nil
	}
	return []admissionv1.ValidatingWebhook{deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name:          "crd.holdfast.dev",
		Rules:         rulesFor([]schema.GroupResource{profile.CRDResource()}, admissionv1.Delete),
		FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "first-delete", Expression: firstDelete},
			{Name: "guarded", Expression: "oldObject == null || " + isOneOf(names)},
		},
	})}
}

// namespaceEntries are for the deletion of namespaces: of one that holds guarded
// objects, which is not possible while Holdfast is away, and of all others,
// which is: the list follows the first object within a moment only.
func namespaceEntries(set *profile.Set, o Options) []admissionv1.ValidatingWebhook {
	if !set.GuardsNamespaces() {
		return nil
	}
	rules := rulesFor([]schema.GroupResource{profile.NamespaceResource()}, admissionv1.Delete)
	listed := isOneOf(o.Holding)
	if len(listed) > mostListed {
		listed = "true"
	}
	var entries []admissionv1.ValidatingWebhook
	others := []admissionv1.MatchCondition{{Name: "first-delete", Expression: firstDelete}}
	if len(o.Holding) > 0 {
		entries = append(entries, deletionEntry(set, o, admissionv1.ValidatingWebhook{
			Name: holdingEntry, Rules: rules, FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConditions: []admissionv1.MatchCondition{
				{Name: "first-delete", Expression: firstDelete},
				{Name: holdsGuarded, Expression: "oldObject == null || " + listed},
			},
		}))
		others = append(others, admissionv1.MatchCondition{Name: "holds-none", Expression: "!(oldObject == null || " + listed + ")"})
	}
	other := deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name: "other-namespace.holdfast.dev", Rules: rules, FailurePolicy: ptr.To(admissionv1.Ignore), MatchConditions: others,
	})
	other.TimeoutSeconds = ptr.To[int32](otherSeconds)
	return append(entries, other)
}

// isOneOf is a condition on the object's name. The names of definitions and
// namespaces have no character that would need to be escaped.
func isOneOf(names []string) string {
	return "oldObject.metadata.name in ['" + strings.Join(names, "', '") + "']"
}

// heldBy reads the list of namespaces out of a configuration.
func heldBy(config *admissionv1.ValidatingWebhookConfiguration) []string {
	var names []string
	for _, w := range config.Webhooks {
		if w.Name != holdingEntry {
			continue
		}
		for _, c := range w.MatchConditions {
			if c.Name != holdsGuarded {
				continue
			}
			for i, part := range strings.Split(c.Expression, "'") {
				if i%2 == 1 { // between a pair of quotes
					names = append(names, part)
				}
			}
		}
	}
	return names
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
