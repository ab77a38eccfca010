// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard holds the rules that decide whether a request may go through,
// one a file. A rule only reads: it gets the request and asks small fact
// interfaces, and does no I/O of its own.
//
//	rule           refuses
//	in-use         DELETE of a guarded object that other objects refer to
//	recoverable    DELETE of a guarded object that could not be brought back
//	operator       DELETE of a guarded object whose operator is away, or whose definition goes
//	denied-delete  DELETE of what its profile does not let the operator delete
//	crd            DELETE of the definition of guarded objects while there are any
//	namespace      DELETE of a namespace that holds guarded objects
//	finalizers     UPDATE that takes finalizers from what is Terminating and still in use
//	own            DELETE of the latest copy of an object that is gone
//
// A rule that cannot decide returns an error, which is never a verdict: the
// webhook answers it with 500, so that nothing is allowed by accident.
package guard
