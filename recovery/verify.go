// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// difference is how an object differs from the one it was to be.
type difference struct {
	// lost are the paths that are not as they were to be.
	lost []string
	// notes are sentences on what is there besides.
	notes []string
}

func (d *difference) add(other difference) {
	d.lost = append(d.lost, other.lost...)
	d.notes = append(d.notes, other.notes...)
}

// String names the first few paths that are not as they were to be.
func (d *difference) String() string { return firstFew(d.lost) }

// compare compares live with want: all content, labels, annotations,
// finalizers and owners. With statusApart, the status is not looked at.
func compare(want, live *unstructured.Unstructured, statusApart bool) difference {
	wantTop, liveTop := maps.Clone(want.Object), maps.Clone(live.Object)
	for _, top := range []map[string]any{wantTop, liveTop} {
		metadata, _ := top["metadata"].(map[string]any)
		kept := map[string]any{}
		for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
			if value, ok := metadata[field]; ok {
				kept[field] = value
			}
		}
		top["metadata"] = kept
		if _, saved := want.Object["status"]; statusApart || !saved {
			delete(top, "status")
		}
	}
	return differ(wantTop, liveTop)
}

// compareStatus compares the status of live with want.
func compareStatus(want any, live *unstructured.Unstructured) difference {
	return differ(map[string]any{"status": want}, map[string]any{"status": live.Object["status"]})
}

func differ(want, live map[string]any) difference {
	var d difference
	var added []string
	walk(want, live, "", &d.lost, &added)
	if len(added) > 0 {
		d.notes = append(d.notes, "the API server added "+firstFew(added))
	}
	return d
}

// walk lists the paths under which live has lost something of want, and those
// that only live has. Only paths are listed, for the values may be secret.
func walk(want, live any, path string, lost, added *[]string) {
	wantMap, isMap := want.(map[string]any)
	liveMap, liveIsMap := live.(map[string]any)
	if !isMap || !liveIsMap {
		if !reflect.DeepEqual(want, live) {
			*lost = append(*lost, path)
		}
		return
	}
	for _, key := range slices.Sorted(maps.Keys(wantMap)) {
		at := path + "." + key
		value, ok := liveMap[key]
		if !ok {
			// The server prunes what is empty; nothing is lost by that.
			if !empty(wantMap[key]) {
				*lost = append(*lost, at)
			}
			continue
		}
		walk(wantMap[key], value, at, lost, added)
	}
	for _, key := range slices.Sorted(maps.Keys(liveMap)) {
		if _, ok := wantMap[key]; !ok && !empty(liveMap[key]) {
			*added = append(*added, path+"."+key)
		}
	}
}

func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}
