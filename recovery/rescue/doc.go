// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package rescue brings back an Astarte that is Terminating, with everything
// that belongs to it: no Secret, claim, Deployment or StatefulSet is lost, and
// each keeps its UID.
//
// It is the only part of Holdfast that knows a product, because the way leads
// over what only Astarte's operator does: spec.manualMaintenanceMode keeps it
// from finalizing what is Terminating. Frozen so, the Astarte is deleted once
// more with the policy Orphan, which makes the garbage collector take the
// ownerReferences off all that belongs to it. Only then is the finalizer
// removed, the definition goes, the operator comes back, and the Astarte is
// created again in maintenance mode, its status replayed, and set free.
//
// All Astartes that are Terminating with one definition go this way together:
// the definition goes, and comes back, for all of them at once. Everything is
// recorded in a journal before it is done, so that the same command finishes
// what was interrupted anywhere.
package rescue
