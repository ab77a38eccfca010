// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// DeletionApprovalKind is the kind of a DeletionApproval.
	DeletionApprovalKind = "DeletionApproval"
	// DeletionApprovalResource is its resource.
	DeletionApprovalResource = "deletionapprovals"
	// ReleaseResource stands for a Helm release as the resource of an approval.
	ReleaseResource = "release"
)

// DeletionApproval lets one operation on one object pass in spite of a refusal:
// the break-glass. It counts from its creation for validFor. It is cluster-scoped.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=holdfast
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=`.spec.operation`
// +kubebuilder:printcolumn:name="Resource",type=string,JSONPath=`.spec.resource`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Valid For",type=string,JSONPath=`.spec.validFor`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Approved By",type=string,JSONPath=`.spec.approvedBy`
// +kubebuilder:printcolumn:name="Used By",type=string,JSONPath=`.status.consumedBy`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.spec.reason`
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.consumedAt) || (has(self.status) && self.status == oldSelf.status)",message="what was used stays used"
type DeletionApproval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   DeletionApprovalSpec   `json:"spec"`
	Status DeletionApprovalStatus `json:"status,omitempty"`
}

// ApprovedOperation is what an approval lets pass.
//
// +kubebuilder:validation:Enum=delete;strip-finalizers;uninstall
type ApprovedOperation string

const (
	// OperationDelete is the deletion of an object.
	OperationDelete ApprovedOperation = "delete"
	// OperationStripFinalizers is the removal of finalizers from an object that
	// is being deleted.
	OperationStripFinalizers ApprovedOperation = "strip-finalizers"
	// OperationUninstall is the removal of a Helm release as a whole.
	OperationUninstall ApprovedOperation = "uninstall"
)

// DeletionApprovalSpec says what is approved, why and by whom. It never changes.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an approval never changes; delete it and make a new one"
// +kubebuilder:validation:XValidation:rule="(self.resource == 'release') != (has(self.uid) && size(self.uid) > 0)",message="uid is needed, except for a release, which has none"
// +kubebuilder:validation:XValidation:rule="(self.resource == 'release') == (self.operation == 'uninstall')",message="uninstall is the operation for a release, and for nothing else"
// +kubebuilder:validation:XValidation:rule="self.resource != 'release' || (has(self.__namespace__) && size(self.__namespace__) > 0)",message="namespace is needed for a release"
type DeletionApprovalSpec struct {
	// Resource is RESOURCE.GROUP of the object, in the plural, such as
	// servicetiers.cp.nuodb.com; or "release" for a Helm release.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Resource string `json:"resource"`
	// Namespace of the object; empty for a cluster-scoped one.
	//
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the object. An object that takes its name later is not meant.
	//
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`
	// Operation is what may be done with the object.
	Operation ApprovedOperation `json:"operation"`
	// Reason is why it may be done.
	//
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('[^[:space:]]')",message="a reason is needed"
	Reason string `json:"reason"`
	// ValidFor is how long it may be done from the creation of the approval, a
	// Go duration such as 15m, of at most 24h.
	//
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || (duration(self) > duration('0s') && duration(self) <= duration('24h'))",message="validFor must be more than 0 and at most 24h"
	ValidFor string `json:"validFor"`
	// ApprovedBy is the user who makes the approval; a ValidatingAdmissionPolicy
	// sees to it that it is.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	ApprovedBy string `json:"approvedBy"`
}

// DeletionApprovalStatus says what became of an approval. One for a namespace
// or a release covers the whole operation and is not used up.
type DeletionApprovalStatus struct {
	// ConsumedAt is when it was used.
	ConsumedAt *metav1.Time `json:"consumedAt,omitempty"`
	// ConsumedBy is the user who did what was approved.
	ConsumedBy string `json:"consumedBy,omitempty"`
	// RequestUID is the admission request that used it.
	RequestUID string `json:"requestUID,omitempty"`
}

// DeletionApprovalList is a list of approvals.
//
// +kubebuilder:object:root=true
type DeletionApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DeletionApproval `json:"items"`
}
