// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// seen is what a list of the versions of all objects has shown.
type seen struct {
	// version is that of the list.
	version string
	// whole says that it was complete, current that the table is as new.
	whole, current bool
}

// versions proves without reading the objects, which takes several times as
// long: a consistent list tells in which version each of them is, and these are
// the ones that are in the table already.
func (f *feed) versions(ctx context.Context, s source, k known) (seen, error) {
	list, err := prompt(ctx, s.reconnect, func(ctx context.Context) (*metav1.PartialObjectMetadataList, error) {
		return f.names.Resource(s.kind.Resource).List(ctx, metav1.ListOptions{Limit: pageSize})
	})
	if err != nil {
		return seen{}, fmt.Errorf("list %s: %w", f.resource(), err)
	}
	version, err := parseVersion(f.resource(), list.ResourceVersion)
	if err != nil {
		return seen{}, err
	}
	if err := f.forward(k, version); err != nil {
		return seen{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != k.epoch || f.state != stateSynced {
		return seen{}, errChanged
	}
	found := seen{version: list.ResourceVersion, whole: list.Continue == ""}
	switch {
	case version <= f.applied: // the streams were quicker
		found.whole, found.current = true, true
	case found.whole && f.table.holds(list.Items):
		found.current = true
		f.failure, f.applied = nil, version
		f.announce()
	}
	return found, nil
}

// holds tells whether t has been filled from exactly these objects.
func (t *table) holds(all []metav1.PartialObjectMetadata) bool {
	if len(all) != t.len() {
		return false
	}
	for i := range all {
		id, ok := t.byName[objectName{all[i].Namespace, all[i].Name}]
		if !ok || t.entries[id].version == 0 || t.entries[id].version != versionNumber(all[i].ResourceVersion) {
			return false
		}
	}
	return true
}

// versionNumber is a resourceVersion as a number; 0 where it is none.
func versionNumber(text string) uint64 {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return v
}
