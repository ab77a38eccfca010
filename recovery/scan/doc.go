// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package scan finds what is wrong or at risk with guarded objects and with
// what they need: after a guardrail was bypassed, or before it matters. It only
// reads, and works while Holdfast is gone.
//
// It reads the cluster once (world.go) and then judges what it has read; each
// judgement is a function of its own over that picture. What could not be read
// is reported as such and is never taken for "nothing wrong".
package scan
