// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/events"
)

// The reasons of Events.
const (
	reasonRefused   = "DeletionRefused"
	reasonUndecided = "DeletionUndecided"
	reasonLetPass   = "DeletionLetPass"
	reasonPaused    = "DeletionLetPassPaused"
	reasonApproved  = "DeletionApproved"
	reasonUnsaved   = "DeletedUnsaved"
	reasonSaved     = "SavedBeforeDeletion"
)

// tell makes the answer known as an Event. A dry-run decides nothing; what is
// let pass in audit mode is nobody's worry; and an object that is unknown, or
// that is gone at once, is not where anybody would look.
func (h *Handler) tell(req admission.Request, o outcome) {
	if h.Events == nil || isDryRun(req) || o.about.Name == "" || o.verdict == verdictAudit {
		return
	}
	e := events.Event{Object: o.about, Action: "Delete", Warning: true}
	if o.operation != "" {
		e.Action = "StripFinalizers"
	}
	by := " (asked for by " + req.UserInfo.Username + ")"
	switch {
	case o.verdict == verdictDeny:
		e.Reason, e.Message = reasonRefused, o.why+by
	case o.verdict == verdictUndecided:
		e.Reason, e.Message = reasonUndecided, o.why+by
	case o.grant != nil:
		e.Reason, e.Message = reasonApproved, o.reason()+" (approval "+o.grant.approval.Name+"); would be refused: "+o.why+by
	case o.verdict == verdictPaused:
		e.Reason, e.Message = reasonPaused, "would be refused, but Holdfast is paused: "+o.why+by
	case o.verdict == verdictWarn:
		e.Reason, e.Message = reasonLetPass, "would be refused: "+o.why+by
	case o.why != "":
		e.Reason, e.Message = reasonUnsaved, "could not be saved before its deletion: "+o.why+by
	case o.snapshot != "" && o.stays:
		e.Warning, e.Reason = false, reasonSaved
		e.Message = fmt.Sprintf("saved before its deletion by %s: %s; 'holdfast recovery list' and 'restore' bring it back", req.UserInfo.Username, o.snapshot)
	default:
		return
	}
	h.Events.Tell(e)
}

// reference names the object as Events do.
func reference(o *unstructured.Unstructured) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
		UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
	}
}
