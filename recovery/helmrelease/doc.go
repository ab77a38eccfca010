// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package helmrelease brings Helm releases back: one that is gone from its
// saved Secrets, one that was left "uninstalling" or "failed" in place. It
// needs neither the chart nor a network beside the API server.
//
// Nothing is rendered anew: a release does not store its subcharts, so that
// would be another release. What Helm has stored is applied again as it is: the
// manifest, the hooks of an installation, and the definitions of the chart's
// crds folder. Records and the order of kinds are those of Helm's own library;
// objects are applied by server-side apply under Helm's field manager, so that
// Helm 3 and Helm 4 go on from there.
package helmrelease
