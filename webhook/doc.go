// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhook answers admission reviews: review -> request -> verdict ->
// saved -> response.
//
// An allow is given only after every rule has agreed and the object has been
// saved. A refusal is 403 and says what stands against it; "could not decide"
// and "could not save" are 500 and refuse as well. Both are admission
// responses inside an HTTP 200: an HTTP error would let entries with
// failurePolicy Ignore pass.
package webhook
