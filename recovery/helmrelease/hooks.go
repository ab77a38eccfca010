// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	helm "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/release"
)

// hook is one hook of an installation with its objects.
type hook struct {
	event   helm.HookEvent
	weight  int
	name    string
	deletes []helm.HookDeletePolicy
	objects []*Object
}

// readHooks takes those hooks that belong to an installation, in Helm's order.
func (p *Plan) readHooks(stored []*helm.Hook) error {
	for _, s := range stored {
		for _, event := range s.Events {
			if event != helm.HookPreInstall && event != helm.HookPostInstall {
				continue
			}
			objects, err := release.Split(s.Manifest)
			if err != nil {
				return fmt.Errorf("hook %q: %w", s.Path, err)
			}
			h := &hook{event: event, weight: s.Weight, name: s.Name, deletes: s.DeletePolicies}
			if len(h.deletes) == 0 {
				h.deletes = []helm.HookDeletePolicy{helm.HookBeforeHookCreation}
			}
			for _, o := range objects {
				added := p.add(o)
				added.Hook = string(event)
				h.objects = append(h.objects, added)
			}
			p.hooks = append(p.hooks, h)
		}
	}
	slices.SortStableFunc(p.hooks, func(a, b *hook) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.name, b.name))
	})
	p.inOrder()
	return nil
}

// inOrder lists the objects as they are applied: hooks before and after.
func (p *Plan) inOrder() {
	var before, own, after []*Object
	for _, h := range p.hooks {
		if h.event == helm.HookPreInstall {
			before = append(before, h.objects...)
		} else {
			after = append(after, h.objects...)
		}
	}
	for _, o := range p.Objects {
		if o.Hook == "" {
			own = append(own, o)
		}
	}
	p.Objects = slices.Concat(before, own, after)
}

// runHooks does what Helm does at an event of an installation.
func (a *applying) runHooks(ctx context.Context, event helm.HookEvent) error {
	var ran []*hook
	for _, h := range a.plan.hooks {
		if h.event != event {
			continue
		}
		if err := a.runHook(ctx, h); err != nil {
			if slices.Contains(h.deletes, helm.HookFailed) {
				_ = a.deleteHook(ctx, h) // what went wrong before is more important
			}
			return fmt.Errorf("%s hook %q: %w", event, h.name, err)
		}
		ran = append(ran, h)
	}
	for _, h := range ran {
		if slices.Contains(h.deletes, helm.HookSucceeded) {
			if err := a.deleteHook(ctx, h); err != nil {
				return fmt.Errorf("clean up after %s hook %q: %w", event, h.name, err)
			}
		}
	}
	return nil
}

func (a *applying) runHook(ctx context.Context, h *hook) error {
	if slices.Contains(h.deletes, helm.HookBeforeHookCreation) {
		if err := a.deleteHook(ctx, h); err != nil {
			return err
		}
	}
	for _, o := range h.objects {
		if err := a.apply(ctx, o); err != nil {
			return err
		}
	}
	for _, o := range h.objects {
		if err := a.waitForHook(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// deleteHook deletes the objects of a hook and waits for their end. Definitions
// stay: their instances would go with them.
func (a *applying) deleteHook(ctx context.Context, h *hook) error {
	for _, o := range h.objects {
		if o.definition() {
			continue
		}
		client, err := a.clientOf(ctx, o)
		if err != nil {
			return err
		}
		background := metav1.DeletePropagationBackground
		err = client.Delete(ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: &background})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete %s: %w", o, err)
		}
		if err := a.waitGone(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// waitForHook waits until a Job or Pod of a hook has done its work. Anything
// else has done it by being there.
func (a *applying) waitForHook(ctx context.Context, o *Object) error {
	if o.Kind != "Job" && o.Kind != "Pod" {
		return nil
	}
	client, err := a.clientOf(ctx, o)
	if err != nil {
		return err
	}
	return a.wait(ctx, "hook "+o.String()+" to complete", func(ctx context.Context) (bool, error) {
		live, err := client.Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("get %s: %w", o, err)
		}
		return completed(live)
	})
}

// completed says whether a Job or Pod has ended well; that it ended otherwise is an error.
func completed(live *unstructured.Unstructured) (bool, error) {
	phase, _, _ := unstructured.NestedString(live.Object, "status", "phase")
	switch phase {
	case "Succeeded":
		return true, nil
	case "Failed":
		return false, fmt.Errorf("%s %s failed", live.GetKind(), live.GetName())
	}
	switch {
	case condition(live, "Complete"):
		return true, nil
	case condition(live, "Failed"):
		return false, fmt.Errorf("%s %s failed", live.GetKind(), live.GetName())
	}
	return false, nil
}

// condition says that a condition of live is True.
func condition(live *unstructured.Unstructured, kind string) bool {
	list, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
	return slices.ContainsFunc(list, func(c any) bool {
		one, ok := c.(map[string]any)
		return ok && one["type"] == kind && one["status"] == "True"
	})
}
