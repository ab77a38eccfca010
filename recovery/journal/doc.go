// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package journal remembers how far a recovery of many steps has come, so that
// one that was killed anywhere is finished by running the same command again,
// by anybody. The undo or restore of a single object needs none: its three
// phases are noted on its snapshot.
//
// A journal is a Secret in Holdfast's namespace, and beside it a file in the
// user's state directory, for the time when that namespace is gone. Every
// record is written before what it announces and again after it. It says who
// is at work and since when, with a sign of life every few seconds: a second
// run is told so, and takes over from one that is dead. And it says what was
// set aside for the duration, so that it is put back whatever happens.
package journal
