// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// createInTurn makes sure that an item's turn has come: that its kind is
// served, that what comes before it is there, and that the API server can
// decide on it. What is known only now may end it.
func (r *Recovery) createInTurn(ctx context.Context, plan *Plan, item *Item, done map[*Item]*Outcome) error {
	if item.later {
		mapping, err := r.waitServed(ctx, item.snap)
		if err != nil {
			return err
		}
		if err := r.aim(ctx, item, mapping); err != nil {
			return err
		}
		item.later, item.Steps = false, nil
		if err := r.completeRestore(ctx, plan, item); err != nil || item.Action != ActionCreate {
			return err
		}
	}
	if err := r.ownersNext(ctx, plan, item, done); err != nil || plan.Set == nil {
		return err
	}
	ready, err := r.prepare(ctx, item, item.snap.Object, noOwner)
	if err != nil {
		return err
	}
	return r.waitAnswering(ctx, item, ready.object)
}

// madeByOwner says that the object in an item's way belongs to the item's owner,
// so that whoever looks after that has made it meanwhile.
func (r *Recovery) madeByOwner(ctx context.Context, item *Item, object *unstructured.Unstructured) bool {
	if item.plan == nil || item.beforeOwner {
		return false
	}
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	return err == nil && owned(object, live)
}

// owned says that live belongs to the owner that object is to have.
func owned(object, live *unstructured.Unstructured) bool {
	owners := object.GetOwnerReferences()
	return len(owners) > 0 && slices.ContainsFunc(live.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owners[0].UID })
}

// lookAgain looks at everything that was restored once more when all is done:
// operators have begun to work, and must have found what they looked for.
func (r *Recovery) lookAgain(ctx context.Context, plan *Plan, done map[*Item]*Outcome, tell func(*Outcome)) {
	if plan.Set == nil {
		return
	}
	for _, item := range plan.Items {
		o := done[item]
		skipped := o.Result == ResultSkipped && item.before != nil
		if (o.Result != ResultDone && !skipped) || item.target.Mapping == nil {
			continue
		}
		live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
		switch {
		case skipped && apierrors.IsNotFound(err):
			o.Result, o.Err = ResultFailed, errors.New("it was there, and is not at the end; run the command again")
		case skipped:
			continue // it is not this run's
		case err != nil:
			o.Result, o.Err = ResultFailed, fmt.Errorf("it was brought back, and is not there at the end: %w; run the command again", err)
		case live.GetUID() != o.NewUID:
			o.Result, o.Err = ResultFailed, errors.New("it was brought back, and somebody replaced it; run the command again with --existing replace")
		case isSecret(live) && !holds(live, item):
			o.Result, o.Err = ResultFailed, errors.New("it was brought back, and somebody has written something else to it; run the command again with --existing replace")
		default:
			for _, moved := range movedAddresses(item.snap.Object, live) {
				o.Warnings = append(o.Warnings, moved)
				r.tell("warning: %s: %s", item, moved)
			}
			continue
		}
		o.Reason = o.Err.Error()
		tell(o)
	}
}

func isSecret(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind().Group == "" && obj.GetKind() == "Secret"
}

// holds says that a Secret holds what was saved, and nothing else unless it was merged.
func holds(live *unstructured.Unstructured, item *Item) bool {
	was, is := data(item.snap.Object), data(live)
	if item.Action != ActionMerge {
		return maps.Equal(was, is)
	}
	for key, value := range was {
		if held, ok := is[key]; !ok || held != value {
			return false
		}
	}
	return true
}

// data is what a Secret or ConfigMap holds.
func data(secret *unstructured.Unstructured) map[string]string {
	held, _, _ := unstructured.NestedStringMap(secret.Object, "data")
	return held
}

// movedAddresses puts the load-balancer addresses that an object had beside
// those that it has.
func movedAddresses(saved, live *unstructured.Unstructured) []string {
	was, is := addresses(saved.Object["status"]), addresses(live.Object["status"])
	if len(was) == 0 || slices.Equal(was, is) {
		return nil
	}
	now := "none yet"
	if len(is) > 0 {
		now = fmt.Sprint(is)
	}
	return []string{fmt.Sprintf("its load-balancer addresses cannot be saved: they were %v, now %s; let DNS follow", was, now)}
}

// addresses are those under "ingress" lists of load balancers in a status.
func addresses(status any) []string {
	var found []string
	switch v := status.(type) {
	case map[string]any:
		for key, inner := range v {
			list, isList := inner.([]any)
			if key != "ingress" || !isList {
				found = append(found, addresses(inner)...)
				continue
			}
			for _, one := range list {
				entry, _ := one.(map[string]any)
				for _, field := range []string{"ip", "hostname"} {
					if text, _ := entry[field].(string); text != "" {
						found = append(found, text)
					}
				}
			}
		}
	case []any:
		for _, inner := range v {
			found = append(found, addresses(inner)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
