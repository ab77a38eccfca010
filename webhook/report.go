// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// report logs an answer. The object, the user and the request are in the
// context's logger already.
func report(ctx context.Context, o outcome, dryRun bool) {
	log := logf.FromContext(ctx)
	if o.operation != "" {
		log = log.WithValues("operation", o.operation)
	}
	switch {
	case o.verdict == verdictUndecided:
		log.Info("Deletion refused because it could not be decided", "why", o.why, "dryRun", dryRun)
	case o.verdict == verdictDeny:
		log.Info("Deletion refused", "rule", o.rule, "why", o.why, "dryRun", dryRun)
	case o.grant != nil:
		log.Info("Deletion approved", "approval", o.grant.approval.Name, "reason", o.reason(), "rule", o.rule, "why", o.why, "snapshot", o.snapshot, "dryRun", dryRun)
	case o.verdict == verdictPaused:
		log.Info("Deletion let pass while paused", "rule", o.rule, "why", o.why, "snapshot", o.snapshot, "dryRun", dryRun)
	case o.verdict == verdictWarn, o.verdict == verdictAudit:
		log.Info("Deletion let pass by the mode", "rule", o.rule, "why", o.why, "mode", o.verdict, "snapshot", o.snapshot, "dryRun", dryRun)
	case dryRun:
		log.V(1).Info("Deletion would be allowed")
	case o.snapshot == "" && o.why != "":
		log.Info("Deletion allowed without a snapshot", "why", o.why)
	default:
		log.Info("Deletion allowed", "snapshot", o.snapshot)
	}
}

// auditAnnotations go into the API server's audit log; it prefixes the keys
// with the name of the webhook.
func auditAnnotations(o outcome) map[string]string {
	annotations := map[string]string{"verdict": o.verdict}
	more := map[string]string{"rule": o.rule, "why": o.why, "snapshot": o.snapshot, "operation": o.operation}
	if o.grant != nil {
		more["approval"], more["approved"] = o.grant.approval.Name, o.reason()
	}
	for key, value := range more {
		if value != "" {
			annotations[key] = value
		}
	}
	return annotations
}
