// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
)

func (o *approveOptions) print(what *approved) error {
	a := what.approval
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, a)
	}
	status := &lines{out: o.streams.ErrOut}
	for _, note := range what.notes {
		status.line("note: %s", note)
	}
	if status.err != nil {
		return status.err
	}
	out := &lines{out: o.streams.Out}
	if o.output.format == outputName {
		out.line("deletionapproval.holdfast.dev/%s", a.Name)
		return out.err
	}
	until, err := approvals.Until(a)
	if err != nil {
		return err
	}
	verb := "Approved"
	if o.dryRun {
		verb = "Would be approved"
	}
	out.line("%s: %s of %s", verb, a.Spec.Operation, what.what)
	if a.Spec.UID != "" {
		out.line("  UID      %s; an object that takes its name later is not meant", a.Spec.UID)
	}
	out.line("  until    %s (%s)", timestamp(until), a.Spec.ValidFor)
	out.line("  for      %s", whoMay(what))
	out.line("  reason   %s", a.Spec.Reason)
	if o.dryRun {
		return out.err
	}
	out.line("")
	out.line("Now:       %s", what.then)
	out.line("Revoke:    kubectl delete deletionapproval %s", a.Name)
	return out.err
}

// whoMay says who may use the approval, and how often.
func whoMay(what *approved) string {
	spec := what.approval.Spec
	who := "anybody who has the right to do it"
	if what.distinct {
		who = fmt.Sprintf("anybody who has the right to do it, but not %s, who approved it", spec.ApprovedBy)
	}
	switch {
	case spec.Resource == v1alpha1.ReleaseResource, approvals.Covers(what.approval):
		return who
	default:
		return who + ", once"
	}
}
