// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package snapshot keeps saved versions of objects, and gives them back
// unchanged.
//
// A snapshot is one version of one object with its provenance: who was about
// to do what to it, and when. It is stored as a Secret of type
// holdfast.dev/snapshot in Holdfast's own namespace, never in the namespace of
// the object and never owned by it, so that it does not go with what it saves.
//
// The name of the Secret follows from the object's UID and content. Everybody
// who saves the same version writes the same Secret: a repeated delete, a
// second replica and the command line find each other's snapshot instead of
// making more of them, and saving something new costs exactly one write. The
// name is a keyed digest, because an unkeyed one would let a reader of names
// confirm a guess of a Secret's content.
//
// An object that does not fit into one Secret goes over several: further ones
// hold parts of the payload, and the snapshot's own, which names them, is
// written last. Parts that no snapshot names are what is left of a write that
// was cut off; they are swept when they are old.
//
// What becomes of the object later is noted in annotations: its state, the latest
// attempt, the journal of a recovery, a pin. A Policy says which versions need
// not be kept.
//
// What a list shows is in annotations, so that listing never moves payloads.
// The payload carries its own copy of the record and a checksum: a snapshot
// that was changed or cut off is an error of that snapshot, never of the list.
package snapshot
