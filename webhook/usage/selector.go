// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// selectors gives the fields to select the referrers of gr by, one for each
// reference path; none if a path cannot be selected by.
func (k *kindPlan) selectors(gr schema.GroupResource, selectable []string) []string {
	var keys []string
	for _, place := range k.refs {
		if place.target != gr {
			continue
		}
		path := strings.TrimSuffix(strings.TrimPrefix(place.ref.Path.String(), "{"), "}")
		// A field that can be selected by is a scalar, so of these two there can
		// only be one: the reference is a name, or an object with one.
		switch {
		case slices.Contains(selectable, path+".name"):
			keys = append(keys, strings.TrimPrefix(path, ".")+".name")
		case slices.Contains(selectable, path):
			keys = append(keys, strings.TrimPrefix(path, "."))
		default:
			return nil
		}
	}
	return keys
}

// selected proves for one target by listing what names it, where the server can
// do so. It gives false where that is not the way; then another must be taken.
func (f *feed) selected(ctx context.Context, target guard.Target) (proof, bool) {
	k := f.known()
	if k.state != stateSynced || k.objects <= pageSize {
		return proof{}, false
	}
	keys := f.plan.selectors(target.Resource, k.kind.Selectable)
	if len(keys) == 0 {
		return proof{}, false
	}
	f.mu.RLock()
	odd := len(f.table.odd)
	f.mu.RUnlock()
	if odd > 0 {
		return proof{}, false // what they name is not known, and no selector finds it
	}
	started := time.Now()
	t, err := f.selectBy(ctx, k, keys, target.Name)
	f.metrics.proved(bySelector, err, time.Since(started))
	return proof{table: t}, err == nil
}

func (f *feed) selectBy(ctx context.Context, k known, keys []string, name string) (*table, error) {
	s := f.proving(k.kind)
	t := newTable(f.plan)
	for _, key := range keys {
		page, err := s.promptPage(ctx, "", metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(key, name).String(), Limit: pageSize})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", f.resource(), err)
		}
		if page.Continue != "" {
			return nil, fmt.Errorf("list %s: more than a page names %s", f.resource(), name)
		}
		for _, one := range page.Items {
			t.set(one)
		}
	}
	return t, nil
}
