// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import "testing"

func TestClosing(t *testing.T) {
	t.Parallel()
	namespaced := Target{Resource: parseGR("plans.billing.example"), Kind: "Plan", Namespace: "shop", Name: "gold"}
	for want, got := range map[string]string{
		"If it must go all the same: holdfast approve plans.billing.example gold -n shop --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop":                              closing(namespaced, "delete"),
		"If it must go all the same: holdfast approve plans.billing.example gold -n shop --operation strip-finalizers --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop": closing(namespaced, "strip-finalizers"),
		"If it must go all the same: holdfast approve namespaces shop --reason TEXT. See all: holdfast explain namespaces shop":                                                                    closing(Target{Resource: parseGR("namespaces"), Name: "shop"}, "delete"),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
