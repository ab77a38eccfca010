// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/holdfast-dev/holdfast/recovery/helmrelease"
)

const (
	// patience bounds the wait for what others have to make ready.
	patience = 5 * time.Minute
	// collectorPatience bounds the wait for the garbage collector, which takes
	// milliseconds where it runs.
	collectorPatience = 30 * time.Second
	reports           = 5 * time.Second
)

// errPatience ends a wait.
var errPatience = errors.New("waited in vain")

func (r *Recovery) tell(format string, args ...any) {
	r.told(helmrelease.Progress{Do: fmt.Sprintf(format, args...)})
}

// told passes on what a part of the work tells.
func (r *Recovery) told(p helmrelease.Progress) {
	if r.Tell != nil {
		r.Tell(p)
	}
}

// await waits until done, and tells what is waited for and for how long.
func (r *Recovery) await(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return r.awaitFor(ctx, patience, what, done)
}

func (r *Recovery) awaitFor(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	start, told := r.Now(), -reports
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		waited := r.Now().Sub(start)
		if waited >= limit {
			return fmt.Errorf("%w for %s, for %s; see what holds it up, then run the command again", errPatience, what, limit)
		}
		if waited-told >= reports {
			told = waited
			r.told(helmrelease.Progress{Wait: what, For: waited})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted while waiting for %s; run the command again", what)
		case <-tick.C:
		}
	}
}

// waitAnswering waits until the API server can decide on the creation of an
// item: its operator's webhooks need a moment until they answer, and until
// their certificates are injected.
func (r *Recovery) waitAnswering(ctx context.Context, item *Item, object *unstructured.Unstructured) error {
	return r.await(ctx, "the API server and its webhooks to take "+item.String(), func(ctx context.Context) (bool, error) {
		_, err := r.client(item.target).Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager})
		switch {
		case err == nil, apierrors.IsAlreadyExists(err):
			return true, nil
		case worthRetrying(err), apierrors.IsNotFound(err) && !namespaceMissing(err):
			return false, nil
		default:
			return false, err
		}
	})
}

func namespaceMissing(err error) bool {
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && answer.Status().Details != nil && answer.Status().Details.Kind == "namespaces"
}

// provoke gives the garbage collector its chance at what was restored to
// namespaces before its owner: an object that it has to delete is created
// after them, and when that is gone, it has looked. It says what it could not
// find out.
func (r *Recovery) provoke(ctx context.Context, namespaces []string) (string, error) {
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	for _, namespace := range namespaces {
		probe := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{
				"generateName": "holdfast-collector-probe-", "namespace": namespace,
				"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "holdfast-no-such-owner", "uid": string(uuid.NewUUID())}},
			},
		}}
		created, err := r.Client.Resource(maps).Namespace(namespace).Create(ctx, probe, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsForbidden(err) {
			return "whether the garbage collector leaves what was restored alone could not be tried: " + err.Error(), nil
		}
		if err != nil {
			return "", fmt.Errorf("try the garbage collector in namespace %s: %w", namespace, err)
		}
		err = r.awaitFor(ctx, collectorPatience, "the garbage collector to have looked at namespace "+namespace, func(ctx context.Context) (bool, error) {
			_, err := r.Client.Resource(maps).Namespace(namespace).Get(ctx, created.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		})
		if err != nil {
			cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), gapLimit)
			defer cancel()
			_ = r.Client.Resource(maps).Namespace(namespace).Delete(cleanup, created.GetName(), metav1.DeleteOptions{})
		}
		if errors.Is(err, errPatience) {
			return "the garbage collector did not come by within " + collectorPatience.String() + "; see that it runs, and that all is still there when it does", nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// ownersNext is called before an item is created: what it belongs to has to be
// there, and its dependents that came before it have to be there still, after
// the garbage collector has had its chance.
func (r *Recovery) ownersNext(ctx context.Context, plan *Plan, owner *Item, done map[*Item]*Outcome) error {
	var namespaces []string
	var before []*Item
	for _, item := range plan.Items {
		o, ended := done[item]
		if !ended {
			continue
		}
		if o.Result == ResultFailed && plan.Set != nil && !owner.beforeOwner && owner.ownedBy(item) {
			return fmt.Errorf("%s, to which it belongs, is not there as it was; mend that and run the command again", item)
		}
		if !item.beforeOwner || !item.ownedBy(owner) {
			continue
		}
		if o.Result == ResultFailed {
			return fmt.Errorf("%s is not there, and %s must not come back without it: its operator would make another; mend that and run the command again", item, owner)
		}
		before = append(before, item)
		namespaces = append(namespaces, item.Namespace)
	}
	if len(before) == 0 {
		return nil
	}
	slices.Sort(namespaces)
	doubt, err := r.provoke(ctx, slices.Compact(namespaces))
	if err != nil {
		return err
	}
	if doubt != "" {
		plan.note("%s", doubt)
		r.tell("warning: %s", doubt)
	}
	for _, item := range before {
		uid := done[item].NewUID
		if uid == "" && item.before != nil {
			uid = item.before.GetUID() // it was there already
		}
		if err := r.stillThere(ctx, item, uid); err != nil {
			return fmt.Errorf("%s, which has to be there before %s: %w", item, owner, err)
		}
	}
	r.tell("%s that come before %s are there, after the garbage collector has looked", count(len(before), "object"), owner)
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
