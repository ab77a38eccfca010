// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// ownEntry is all that is sent of Holdfast's own namespace: its deletion, and
// that of the Secrets that hold snapshots. Neither is ever needed to repair
// Holdfast, so that both may wait for it: an upgrade, a rollback, new rights,
// Pods, a certificate and all other Secrets pass without being asked about.
func ownEntry(set *profile.Set, o Options) admissionv1.ValidatingWebhook {
	w := deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name:          "own.holdfast.dev",
		Rules:         rulesFor([]schema.GroupResource{profile.NamespaceResource(), {Resource: "secrets"}}, admissionv1.Delete),
		FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "first-delete", Expression: firstDelete},
			// The clean-up of a namespace whose deletion was allowed.
			{Name: "not-clean-up", Expression: "!" + byCleanUp},
			// By the type, which cannot be changed, as a label could be.
			{Name: "namespace-or-snapshot", Expression: "request.resource.resource == 'namespaces' || oldObject == null || (has(oldObject.type) && oldObject.type == 'holdfast.dev/snapshot')"},
		},
	})
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{o.Namespace},
	}}}
	return w
}
