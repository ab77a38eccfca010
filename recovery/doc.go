// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package recovery brings guarded objects back: those that are gone from
// their snapshots (restore), those that are Terminating in place (undo).
//
// Both are planned first and only then run. A plan finds out everything that
// would stop the work halfway; running it repeats the checks that can have
// become wrong meanwhile. How far the work on an object has come is kept with
// its snapshot, so that a run that was killed anywhere is finished by running
// the same command again, by anybody. The package needs the API server and the
// snapshots, and no other part of Holdfast.
//
// Nothing here knows a product: what is particular about a resource (is its
// status replayed, what comes first, who refers to it) is in its profile.
package recovery
