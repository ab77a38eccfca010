// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const (
	operationDelete = string(v1alpha1.OperationDelete)
	operationStrip  = string(v1alpha1.OperationStripFinalizers)

	// apiServer finishes the deletion of a definition.
	apiServer = "system:apiserver"
)

// isUpdate tells whether the request may change the finalizers of an object:
// those of built-in kinds, definitions and namespaces can be changed through
// these subresources too.
func isUpdate(req admission.Request) bool {
	return req.Operation == admissionv1.Update && slices.Contains([]string{"", "status", "finalize"}, req.SubResource)
}

// decideStrip decides about an update. One that takes no finalizers from a
// Terminating object does not concern the guard; it is let pass without a word.
func (h *Handler) decideStrip(ctx context.Context, req admission.Request, guarded *profile.Guarded) (o outcome, concerned bool) {
	const do = "decide about this removal of finalizers"
	old, err := oldObject(req)
	if err != nil {
		return h.couldNot(guarded, do, err), true
	}
	if old.GetDeletionTimestamp() == nil {
		return outcome{}, false
	}
	updated := &unstructured.Unstructured{}
	if err := updated.UnmarshalJSON(req.Object.Raw); err != nil {
		return h.couldNot(guarded, do, fmt.Errorf("decode the object as it would be: %w", err)), true
	}
	if !takesFinalizers(old, updated) {
		return outcome{}, false
	}
	r := guard.Request{Guarded: guarded, Old: old, New: updated, User: req.UserInfo.Username}
	o = h.judgeStrip(ctx, req, r)
	o.about = reference(old)
	return o, true
}

// judgeStrip decides, and saves the last state of what may go.
func (h *Handler) judgeStrip(ctx context.Context, req admission.Request, r guard.Request) outcome {
	passed := outcome{response: allow(), verdict: verdictAllow}
	// What the control plane finishes was decided before.
	if !isCleanUp(r.User) && r.User != apiServer {
		if passed = h.check(ctx, r, h.stripRules()); !passed.response.Allowed {
			passed = h.lift(ctx, askFor(req, r, v1alpha1.OperationStripFinalizers), passed)
		}
		if !passed.response.Allowed {
			return passed
		}
	}
	return h.settle(ctx, h.save(ctx, req, r, passed), isDryRun(req))
}

func (h *Handler) stripRules() []guard.Rule {
	if h.Finalizers == nil {
		return []guard.Rule{noRule{}}
	}
	return []guard.Rule{h.Finalizers}
}

// noRule cannot decide: a handler without the rule must not wave through what
// only the rule can judge.
type noRule struct{}

// Check implements guard.Rule.
func (noRule) Check(context.Context, guard.Request) (guard.Verdict, error) {
	return guard.Verdict{}, errors.New("this holdfast has no rule for it")
}

// takesFinalizers tells whether updated lacks a finalizer that old has. A
// namespace has some in its spec too.
func takesFinalizers(old, updated *unstructured.Unstructured) bool {
	if lacks(old.GetFinalizers(), updated.GetFinalizers()) {
		return true
	}
	if old.GetKind() != "Namespace" || old.GetAPIVersion() != "v1" {
		return false
	}
	before, _, _ := unstructured.NestedStringSlice(old.Object, "spec", "finalizers")
	after, _, _ := unstructured.NestedStringSlice(updated.Object, "spec", "finalizers")
	return lacks(before, after)
}

func lacks(before, after []string) bool {
	return slices.ContainsFunc(before, func(f string) bool { return !slices.Contains(after, f) })
}

// operation is what is asked for, as snapshots name it. That of an undo says
// the same of the same version as the undo itself.
func operation(r guard.Request) string {
	switch {
	case r.Marked():
		return "undo"
	case r.New != nil:
		return operationStrip
	default:
		return operationDelete
	}
}

// decision is what has to be decided about r.
func decision(r guard.Request) string {
	if r.New != nil {
		return "decide whether the finalizers of " + r.Target().String() + " may be removed"
	}
	return "decide whether " + r.Target().String() + " may be deleted"
}

// stripsByProgram tells whether a program removes finalizers as its work is:
// that is not held up when the object cannot be saved, and nobody reads the
// warnings.
func stripsByProgram(r guard.Request) bool {
	return r.New != nil && (isCleanUp(r.User) || r.User == apiServer || r.Marked() || strings.HasPrefix(r.User, "system:serviceaccount:"))
}
