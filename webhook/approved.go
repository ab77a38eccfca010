// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Approvals finds approvals and uses them up; approvals.Store is the real one.
type Approvals interface {
	// Find is an approval that counts for ask, or what speaks against those
	// that were given for the object, if there are any.
	Find(ctx context.Context, ask approvals.Ask) (*v1alpha1.DeletionApproval, string, error)
	// Consume uses it up; with approvals.ErrTaken somebody else was faster.
	Consume(ctx context.Context, a *v1alpha1.DeletionApproval, ask approvals.Ask) error
}

// grant is an approval by which a request passes, and what it is answered
// should it turn out that the approval does not count after all.
type grant struct {
	approval *v1alpha1.DeletionApproval
	ask      approvals.Ask
	refused  outcome
}

// askFor is what has to be approved for the request to pass.
func askFor(req admission.Request, r guard.Request, operation v1alpha1.ApprovedOperation) approvals.Ask {
	annotations := r.Old.GetAnnotations()
	demanding := ""
	if r.Guarded.Profile != "" {
		demanding = "profile " + r.Guarded.Profile
	}
	return approvals.Ask{
		Resource: r.Guarded.Resource, Namespace: r.Old.GetNamespace(), Name: r.Old.GetName(), UID: r.Old.GetUID(),
		Operation: operation, User: r.User, RequestUID: req.UID,
		Release: types.NamespacedName{
			Namespace: annotations["meta.helm.sh/release-namespace"], Name: annotations["meta.helm.sh/release-name"],
		},
		Distinct: r.Guarded.DistinctApprover, Profile: demanding,
	}
}

// lift turns a refusal into a pass where an approval counts for ask, or while
// Holdfast is paused. Otherwise it stays, with what speaks against the
// approvals that were given. A pass by an approval is good only after settle.
func (h *Handler) lift(ctx context.Context, ask approvals.Ask, refused outcome) outcome {
	if passed := h.unlessPaused(ctx, refused); passed.response.Allowed || h.Approvals == nil {
		return passed
	}
	approval, against, err := h.Approvals.Find(ctx, ask)
	switch {
	case err != nil:
		return refused.prefaced(fmt.Sprintf("Approvals could not be looked for: %s.", oneSentence(err)))
	case approval == nil && against != "":
		return refused.prefaced(against + ".")
	case approval == nil:
		return refused
	}
	return outcome{
		response: allow(asWarnings(fmt.Sprintf("would be refused, but %s approved it (%s): %s",
			approval.Spec.ApprovedBy, approval.Name, approval.Spec.Reason))...),
		verdict: verdictApproved, rule: refused.rule, why: refused.why,
		grant: &grant{approval: approval, ask: ask, refused: refused},
	}
}

// settle uses up the approval by which a request passes, now that nothing else
// stands against it. Of several users only one gets it.
func (h *Handler) settle(ctx context.Context, passed outcome, dryRun bool) outcome {
	g := passed.grant
	if g == nil || !passed.response.Allowed || dryRun {
		return passed
	}
	// Whatever changes the approval in between makes another round, its use by
	// somebody else the last.
	const rounds = 5
	for range rounds {
		err := h.Approvals.Consume(ctx, g.approval, g.ask)
		if err == nil {
			return passed
		}
		if !errors.Is(err, approvals.ErrTaken) {
			return g.refused.prefaced(fmt.Sprintf("Approval %s could not be used: %s.", g.approval.Name, oneSentence(err)))
		}
		approval, against, err := h.Approvals.Find(ctx, g.ask)
		switch {
		case err != nil:
			return g.refused.prefaced(fmt.Sprintf("Approvals could not be looked for: %s.", oneSentence(err)))
		case approval == nil && against == "":
			return g.refused.prefaced(fmt.Sprintf("Approval %s does not count: it was taken back.", g.approval.Name))
		case approval == nil:
			return g.refused.prefaced(against + ".")
		}
		g.approval = approval
	}
	return g.refused.prefaced(fmt.Sprintf("Approval %s could not be used: it changes all the time; delete again.", g.approval.Name))
}

// prefaced puts a sentence before the text of a refusal.
func (o outcome) prefaced(sentence string) outcome {
	o.why = sentence + " " + o.why
	result := o.response.Result.DeepCopy()
	result.Message = o.why
	o.response.Result = result
	o.response.Warnings = asWarnings(o.why)
	return o
}

// reason is why a request was approved, for the record of what it deletes.
func (o outcome) reason() string {
	if o.grant == nil {
		return ""
	}
	spec := o.grant.approval.Spec
	return fmt.Sprintf("approved by %s: %s", spec.ApprovedBy, spec.Reason)
}

// approval is the name of the approval by which a request passes, if it is one.
func (o outcome) approval() string {
	if o.grant == nil {
		return ""
	}
	return o.grant.approval.Name
}

// oneSentence is err without what would end a sentence or a line.
func oneSentence(err error) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(err.Error()), " "), ".")
}
