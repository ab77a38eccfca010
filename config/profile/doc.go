// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package profile turns GuardProfiles into answers: is this resource guarded,
// how is it saved and restored, and which guarded objects does that object
// name. Everything that Holdfast knows about a product is in a profile; the
// built-in ones are the same YAML as a user's, embedded.
package profile
