// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package recorder keeps what is guarded saved at all times, whether anybody is
// about to delete it or not.
//
// It follows the guarded resources, and what belongs to their objects by the
// closure of their profile. Every version of a guarded object that it sees is
// kept, and a set of each root is taken when anything in it has changed. What
// has not changed costs nothing: IDs follow from UID and content, and the
// recorder follows its own store, so that it knows what is there.
//
// An object that has gone is looked for in the store: if a request for its
// deletion was saved, it is confirmed as deleted; if not, nobody asked Holdfast,
// and the last state that was seen is marked as a bypass. The same is done at
// the start for what went while no recorder ran.
//
// Every replica does all of this. They write the same Secrets under the same
// names, so whoever comes second finds it done.
package recorder
