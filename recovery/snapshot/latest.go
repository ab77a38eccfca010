// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"strconv"

	"k8s.io/apimachinery/pkg/types"
)

// Latest are the places in records, sorted as List gives them, of what may be
// the last state of each object: the version that was noted last, and the one
// with the highest resource version, for requests that come together may be
// noted in another order than the API server takes them in. What was restored
// and saved again since is not the latest of anything.
func Latest(records []Record) []int {
	newest := map[types.UID]int{}
	for i := range records {
		r := &records[i]
		if r.Problem != "" {
			continue
		}
		if best, ok := newest[r.UID]; !ok || r.lastVersion() > records[best].lastVersion() {
			newest[r.UID] = i
		}
	}
	var latest []int
	ofUID, ofName := map[types.UID]bool{}, map[string]bool{}
	for i := range records {
		r := &records[i]
		if r.Problem != "" {
			continue
		}
		name := r.Resource + "/" + r.Namespace + "/" + r.Name
		// What was restored lives on, and is not lost with this version as soon
		// as there is a later one of it.
		if (!ofUID[r.UID] || newest[r.UID] == i) && (r.State != StateRestored || !ofName[name]) {
			latest = append(latest, i)
		}
		ofUID[r.UID], ofName[name] = true, true
	}
	return latest
}

// lastVersion is the highest resource version at which the object is known to
// have had this content; 0 when that is no number. Those of one object can be
// compared: Kubernetes documents them so for custom resources since 1.35, and
// etcd's have always been numbers that grow.
func (r *Record) lastVersion() uint64 {
	version, _ := strconv.ParseUint(r.ResourceVersion, 10, 64)
	if r.LastAttempt != nil {
		again, _ := strconv.ParseUint(r.LastAttempt.ResourceVersion, 10, 64)
		version = max(version, again)
	}
	return version
}
