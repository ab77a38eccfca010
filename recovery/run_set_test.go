// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func withAddresses(ips ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"status": map[string]any{"broker": map[string]any{"loadBalancer": map[string]any{"ingress": ips}}},
	}}
}

func TestOldAndNewAddressesAreSaid(t *testing.T) {
	was := withAddresses(map[string]any{"ip": "192.0.2.7"})
	for name, c := range map[string]struct {
		is   *unstructured.Unstructured
		want string
	}{
		"the same": {was, ""},
		"none":     {withAddresses(), "they were [192.0.2.7], now none yet"},
		"another":  {withAddresses(map[string]any{"hostname": "lb.example"}), "they were [192.0.2.7], now [lb.example]"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(movedAddresses(was, c.is), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatAMergedSecretHolds(t *testing.T) {
	secret := func(data map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "data": data}}
	}
	item := &Item{snap: &snapshot.Snapshot{Object: secret(map[string]any{"a": "MQ=="})}}
	more, other := secret(map[string]any{"a": "MQ==", "b": "Mg=="}), secret(map[string]any{"a": "Mg=="})
	if item.Action = ActionMerge; !holds(more, item) || holds(other, item) || holds(secret(nil), item) {
		t.Error("a merged Secret has to hold what was saved, and may hold more")
	}
	if item.Action = ActionCreate; holds(more, item) || !holds(item.snap.Object, item) {
		t.Error("a Secret that was created has to hold what was saved and nothing else")
	}
}

// The Secrets of an Astarte come before it, and its ConfigMaps after it.
func TestOrderOfASet(t *testing.T) {
	item := func(resource, name string, uid types.UID, owners ...types.UID) *Item {
		return &Item{Resource: resource, Name: name, uid: uid, owners: owners, snap: &snapshot.Snapshot{}}
	}
	owner := item("astartes.api.astarte-platform.org", "one", "1")
	before := item("secrets", "one-ca", "2", "1")
	before.beforeOwner = true
	after := item("configmaps", "one-config", "3", "1")
	user := item("flows.api.astarte-platform.org", "flow", "4")
	user.options.Order = 10
	crd := item("customresourcedefinitions.apiextensions.k8s.io", "flows.api.astarte-platform.org", "5")
	plan := &Plan{Items: []*Item{user, after, owner, before, crd}}
	plan.sort()
	var got []string
	for _, i := range plan.Items {
		got = append(got, i.Name)
	}
	place := func(name string) int {
		for i, n := range got {
			if n == name {
				return i
			}
		}
		return -1
	}
	if place("flows.api.astarte-platform.org") != 0 || place("one-ca") > place("one") || place("one-config") < place("one") || place("flow") != len(got)-1 {
		t.Errorf("got %v", got)
	}
}
