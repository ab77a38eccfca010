// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package approvals decides whether a DeletionApproval lets pass what a rule
// refuses, and uses it up.
//
// An approval counts for one object, by its UID, one operation and a time from
// its creation. It is used once, by one user; that user's same request a moment
// later is taken for the API server's own retry, which comes with a new request
// UID. Which of several replicas and users gets it is decided by the API
// server: the status is written with the resourceVersion that was read, and the
// schema lets nobody write it twice. An approval for a namespace or a Helm
// release covers the whole operation until it expires.
//
// Approvals are read live, and only when something is refused.
package approvals
