// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package certs makes and keeps the serving certificate of the webhook: a
// self-signed authority and a certificate of it, in one Secret that all
// replicas share. Whoever needs it first creates it.
//
// The certificate is renewed when a third of its time is left, or when it does
// not cover the names it is to serve. The authority is renewed the same way;
// its predecessor stays in the bundle, so that replicas that still serve the
// old certificate go on being trusted.
package certs
