// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook/events"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Saver keeps a version of an object; it may be asked for the same one again.
type Saver interface {
	Save(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p snapshot.Provenance) (snapshot.Record, error)
}

// Teller makes a decision known where people look for it, and returns at once.
type Teller interface {
	Tell(e events.Event)
}

// Handler answers admission reviews. All fields but Namespace, Approvals, Paused,
// Foreign and Events are required; Contents only where profiles guard namespaces.
type Handler struct {
	Profiles *profile.Set
	// Rules decide about deletions, Finalizers about the removal of finalizers
	// from what is being deleted.
	Rules      []guard.Rule
	Finalizers guard.Rule
	Snapshots  Saver
	// Contents are what is saved before a namespace goes.
	Contents guard.Contents
	Metrics  *Metrics
	// Events may be nil, as for those who only ask what would be answered.
	Events Teller
	// Timeout is how long a decision may take; it must end before the API
	// server gives up, which would hide the reason.
	Timeout time.Duration
	// Namespace is Holdfast's own, of which its deletion and that of snapshots
	// are asked about. Empty means that nothing there is guarded.
	Namespace string
	// Approvals are asked when a rule refuses; nil where there are none.
	Approvals Approvals
	// Paused is asked when something would be refused; nil means never paused.
	Paused Paused
	// Foreign answers a deletion of a resource that no profile of this process
	// names, as "not guarded" or as an error. Nil means not guarded.
	Foreign func(ctx context.Context, gr schema.GroupResource) error
}

var _ admission.Handler = (*Handler)(nil)

// The verdicts as metrics, logs and audit annotations name them.
const (
	verdictAllow     = "allow"
	verdictDeny      = "deny"
	verdictWarn      = "warn"
	verdictAudit     = "audit"
	verdictUndecided = "undecided"
	verdictApproved  = "approved"
	verdictPaused    = "paused"
)

// outcome is an answer and how it came about.
type outcome struct {
	response admission.Response
	verdict  string
	rule     string
	snapshot string
	// why is the reason of a refusal or of what was let pass in spite of one.
	why string
	// about is the object, as far as it is known.
	about corev1.ObjectReference
	// stays tells that the object is there for a while after it is let go.
	stays bool
	// grant is the approval by which a request passes.
	grant *grant
	// operation is what was asked for, if that was not a deletion.
	operation string
}

// silent says that the user is told nothing: audit mode is not to be noticed.
func (o outcome) silent(r guard.Request) bool {
	return r.Guarded.Mode == v1alpha1.ModeAudit || o.verdict == verdictAudit
}

// Handle implements admission.Handler.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if req.Operation == "" || req.Resource.Resource == "" {
		// Some other JSON decodes into an empty request.
		return admission.Errored(http.StatusBadRequest, errors.New("this is no admission request: it names no operation or no resource"))
	}
	if !isDelete(req) && !isUpdate(req) {
		return allow()
	}
	guarded, ok := h.subject(req)
	if !ok {
		return h.foreign(ctx, req)
	}
	var o outcome
	if isDelete(req) {
		o = h.decide(ctx, req, guarded)
	} else if o, ok = h.decideStrip(ctx, req, guarded); !ok {
		return allow()
	} else {
		o.operation = operationStrip
	}
	o = h.unlessPaused(ctx, o)
	h.Metrics.answered(o, isDryRun(req), time.Since(started))
	report(ctx, o, isDryRun(req))
	h.tell(req, o)
	o.response.AuditAnnotations = auditAnnotations(o)
	return o.response
}

// subject tells how what would be deleted is guarded, if it is.
func (h *Handler) subject(req admission.Request) (*profile.Guarded, bool) {
	gr := groupResource(req)
	snapshots := gr == guard.SecretResource() && req.Namespace == h.Namespace
	guarded, ok := h.Profiles.Subject(gr, objectName(req))
	if h.Namespace != "" && (snapshots || !ok && gr == profile.NamespaceResource() && objectName(req) == h.Namespace) {
		// Whatever profiles say of Secrets elsewhere, a snapshot is not saved itself.
		return &profile.Guarded{Resource: gr, Mode: v1alpha1.ModeEnforce, Snapshot: v1alpha1.SnapshotNone}, true
	}
	return guarded, ok
}

func (h *Handler) foreign(ctx context.Context, req admission.Request) admission.Response {
	h.Metrics.strays.Inc()
	if h.Foreign != nil {
		if err := h.Foreign(ctx, groupResource(req)); err != nil {
			return h.unlessPaused(ctx, outcome{response: undecided(err.Error()), why: err.Error()}).response
		}
	}
	logf.FromContext(ctx).V(1).Info("Deletion of a resource that no profile names let pass")
	return allow()
}

func (h *Handler) decide(ctx context.Context, req admission.Request, guarded *profile.Guarded) outcome {
	old, err := oldObject(req)
	if err != nil {
		return h.couldNot(guarded, "decide about this deletion", err)
	}
	r := guard.Request{Guarded: guarded, Old: old, User: req.UserInfo.Username}
	o := h.judge(ctx, req, r)
	o.about, o.stays = reference(old), len(old.GetFinalizers()) > 0 || guarded.Resource == profile.NamespaceResource()
	return o
}

// judge decides, and saves what may go.
func (h *Handler) judge(ctx context.Context, req admission.Request, r guard.Request) outcome {
	// Refusing what is already on its way changes nothing, or strands a
	// namespace; neither is asked of the rules.
	decided := r.Old.GetDeletionTimestamp() != nil || isCleanUp(r.User)
	passed := outcome{response: allow(), verdict: verdictAllow}
	if !decided {
		if passed = h.check(ctx, r, h.Rules); !passed.response.Allowed {
			passed = h.lift(ctx, askFor(req, r, v1alpha1.OperationDelete), passed)
		}
		if !passed.response.Allowed {
			return passed
		}
	}
	switch r.Guarded.Resource {
	case profile.NamespaceResource():
		passed = h.saveContents(ctx, req, r, passed)
	case profile.CRDResource():
		if passed = h.saveInstances(ctx, req, r, passed); passed.response.Allowed {
			passed = h.save(ctx, req, r, passed)
		}
	default:
		passed = h.save(ctx, req, r, passed)
	}
	return h.settle(ctx, passed, isDryRun(req))
}

// check asks the rules. What it gives back is a refusal, or how a request that
// passes is to be answered. What one rule lets pass because of a mode is no
// reason not to ask the next one, which may go by another mode.
func (h *Handler) check(ctx context.Context, r guard.Request, rules []guard.Rule) outcome {
	passed := outcome{response: allow(), verdict: verdictAllow}
	var warnings []string
	for _, rule := range rules {
		v, err := rule.Check(ctx, r)
		var o outcome
		switch {
		case err != nil:
			o = h.couldNot(r.Guarded, decision(r), err)
		case v.Denied:
			o = h.denied(r, v)
		case v.Warning != "" && r.Guarded.Mode != v1alpha1.ModeAudit:
			warnings = append(warnings, asWarnings(v.Warning)...)
			continue
		default:
			continue
		}
		if !o.response.Allowed {
			return o
		}
		// The first that a mode lets pass is the one that is told, unless a later
		// one is at least warned about.
		if passed.verdict == verdictAllow || passed.verdict == verdictAudit && o.verdict == verdictWarn {
			passed = o
		}
	}
	passed.response.Warnings = append(passed.response.Warnings, warnings...)
	return passed
}

func (h *Handler) denied(r guard.Request, v guard.Verdict) outcome {
	switch cmp.Or(v.Mode, r.Guarded.Mode) {
	case v1alpha1.ModeWarn:
		return outcome{response: allow(asWarnings("would be refused: " + v.Message)...), verdict: verdictWarn, rule: v.Rule, why: v.Message}
	case v1alpha1.ModeAudit:
		return outcome{response: allow(), verdict: verdictAudit, rule: v.Rule, why: v.Message}
	case v1alpha1.ModeEnforce:
	}
	return outcome{response: deny(v, r.Target()), verdict: verdictDeny, rule: v.Rule, why: v.Message}
}

// couldNot is the answer when something could not be done. In a mode that
// refuses nothing this is no reason to refuse either.
func (h *Handler) couldNot(guarded *profile.Guarded, do string, err error) outcome {
	message := fmt.Sprintf("holdfast could not %s, so nothing was changed: %s. Mend that and try again; \"holdfast explain\" asks without deleting.",
		do, strings.TrimSuffix(strings.Join(strings.Fields(err.Error()), " "), "."))
	switch guarded.Mode {
	case v1alpha1.ModeWarn:
		return outcome{response: allow(asWarnings("would be refused: " + message)...), verdict: verdictWarn, why: message}
	case v1alpha1.ModeAudit:
		return outcome{response: allow(), verdict: verdictAudit, why: message}
	case v1alpha1.ModeEnforce:
	}
	return outcome{response: undecided(message), verdict: verdictUndecided, why: message}
}

// save keeps the object before passed, an allow, is given. A dry-run deletes
// nothing, so nothing is saved for it.
func (h *Handler) save(ctx context.Context, req admission.Request, r guard.Request, passed outcome) outcome {
	if isDryRun(req) || r.Guarded.Snapshot == v1alpha1.SnapshotNone {
		return passed
	}
	record, err := h.Snapshots.Save(ctx, r.Guarded.Resource, r.Old, snapshot.Provenance{
		Operation:     operation(r),
		User:          r.User,
		RequestUID:    string(req.UID),
		Profile:       r.Guarded.Profile,
		Reason:        passed.reason(),
		Approval:      passed.approval(),
		Raw:           req.OldObject.Raw,
		RestoreStatus: r.Guarded.Restore.Status,
		RestoreOrder:  r.Guarded.Restore.Order,
	})
	h.Metrics.saved(err)
	if err == nil {
		passed.snapshot = record.ID
		if !isCleanUp(r.User) && !stripsByProgram(r) && !passed.silent(r) {
			passed.response.Warnings = append(passed.response.Warnings, partlyWarnings(r.Target(), record.Partly)...)
			passed.response.Warnings = append(passed.response.Warnings, savedWarning(r, record.ID))
		}
		return passed
	}
	// What is Terminating goes as soon as its finalizers do, whatever is
	// answered to its deletion; there is nothing left that a refusal could keep.
	going := r.Old.GetDeletionTimestamp() != nil && (r.New == nil || stripsByProgram(r))
	if r.Guarded.Snapshot != v1alpha1.SnapshotBestEffort && !going {
		return h.couldNot(r.Guarded, "save "+r.Target().String()+" first", err)
	}
	passed.why = err.Error()
	if !passed.silent(r) {
		passed.response.Warnings = append(passed.response.Warnings,
			asWarnings(fmt.Sprintf("could not save %s before its deletion: %v", r.Target(), err))...)
	}
	return passed
}
