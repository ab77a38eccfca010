// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// ApprovalsName is the name of the policy for approvals, and of its binding.
const ApprovalsName = "holdfast-approvals"

// ApprovalsPolicy lets nobody approve in another's name. All else that an
// approval must fulfil stands in its schema; who asks is known here alone. It
// works while Holdfast is down.
func ApprovalsPolicy() Policy {
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: ApprovalsName, Labels: managed()},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{},
				ObjectSelector:    &metav1.LabelSelector{},
				MatchPolicy:       ptr.To(admissionv1.Equivalent),
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					// Afterwards the schema lets nobody change it.
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule: admissionv1.Rule{
						APIGroups: []string{"holdfast.dev"}, APIVersions: []string{"*"}, Resources: []string{"deletionapprovals"}, Scope: ptr.To(admissionv1.AllScopes),
					},
				}}},
			},
			Validations: []admissionv1.Validation{{
				Expression:        "object.spec.approvedBy == request.userInfo.username",
				Message:           "approvedBy must be you",
				MessageExpression: "'approvedBy must be you, ' + request.userInfo.username + ': nobody approves in the name of another'",
				Reason:            ptr.To(metav1.StatusReasonForbidden),
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: ApprovalsName, Labels: managed()},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: ApprovalsName, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	return Policy{Policy: policy, Bindings: []*admissionv1.ValidatingAdmissionPolicyBinding{binding}}
}
