// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// warnOfNewKeys warns of what is left out although it has to be there before an
// owner that comes back, and is not: the owner's operator makes another in its
// place, with keys that fit nothing that was made with the old ones.
func (r *Recovery) warnOfNewKeys(ctx context.Context, plan *Plan, leftOut []*Item) error {
	for _, owner := range plan.Items {
		if !owner.works() {
			continue
		}
		missing, err := r.keysMissing(ctx, owner, leftOut)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("new keys would be made: %s left out and not there, so the operator of %s would make new ones when that is back; "+
				"whatever holds a certificate or password by the old ones, such as every device, would be refused from then on; bring them back first to keep the old ones",
				wereFew(missing), owner))
		}
	}
	return nil
}

// wereFew is names with their verb.
func wereFew(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return firstFew(names) + " are"
}

// live is the object of the item's name; nil if there is none.
func (r *Recovery) live(ctx context.Context, item *Item) (*unstructured.Unstructured, error) {
	mapping, problem, err := r.served(ctx, item.snap)
	if err != nil || problem != "" {
		return nil, err
	}
	live, err := r.clientFor(mapping, item.Namespace).Get(ctx, item.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", item, err)
	}
	return live, nil
}
