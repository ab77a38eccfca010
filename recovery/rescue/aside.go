// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/journal"
)

// ownConfiguration is Holdfast's own webhook configuration, which lets a rescue pass.
const ownConfiguration = "holdfast"

// failed finds the webhook that the API server could not call.
var failed = regexp.MustCompile(`failed calling webhook "([^"]+)"`)

func configurations() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		admissionv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations"),
		admissionv1.SchemeGroupVersion.WithResource("mutatingwebhookconfigurations"),
	}
}

// past does a write, and if a webhook that nobody serves is in its way, moves
// that out of it for the duration.
func (r *Rescue) past(ctx context.Context, j *journal.Journal, step string, do func(context.Context) error) error {
	return r.wait(ctx, pending{
		step: step, what: "the API server to take the write", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			err := do(ctx)
			if err == nil {
				return true, "", nil
			}
			named := failed.FindStringSubmatch(err.Error())
			if named == nil || !apierrors.IsInternalError(err) {
				return false, "", err
			}
			found, asideErr := r.disarm(ctx, j, step, named[1])
			if asideErr != nil {
				return false, "", asideErr
			}
			if !found {
				return false, "", err
			}
			return false, "webhook " + named[1] + " still answers for it", nil // the API server has not heard yet
		},
	})
}

// disarm makes the configuration with the webhook called name ignore failures.
func (r *Rescue) disarm(ctx context.Context, j *journal.Journal, step, name string) (bool, error) {
	for _, gvr := range configurations() {
		list, err := r.Recovery.Client.Resource(gvr).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, fmt.Errorf("find webhook %q: %w", name, err)
		}
		for i := range list.Items {
			c := &list.Items[i]
			policies := policiesOf(c)
			if _, has := policies[name]; !has || c.GetName() == ownConfiguration {
				continue
			}
			return true, r.ignore(ctx, j, step, c, gvr)
		}
	}
	return false, nil
}

func (r *Rescue) ignore(ctx context.Context, j *journal.Journal, step string, c *unstructured.Unstructured, gvr schema.GroupVersionResource) error {
	policies := policiesOf(c)
	for name, policy := range policies {
		if policy == string(admissionv1.Ignore) {
			delete(policies, name) // not ours to put back
		}
	}
	if len(policies) == 0 {
		return nil // done, and the API server has not heard yet
	}
	before, err := json.Marshal(policies)
	if err != nil {
		return err
	}
	a := journal.Aside{Resource: gvr.GroupResource().String(), Version: gvr.Version, Name: c.GetName(), UID: string(c.GetUID()), Before: before}
	if err := j.SetAside(ctx, a); err != nil {
		return err
	}
	r.say(step, fmt.Sprintf("%s %s leads to nobody: its failures are ignored until the finalizer is off", gvr.Resource, c.GetName()))
	setPolicies(c, func(name, policy string) string {
		if _, ours := policies[name]; ours {
			return string(admissionv1.Ignore)
		}
		return policy
	})
	_, err = r.Recovery.Client.Resource(gvr).Update(ctx, c, metav1.UpdateOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("move webhook configuration %q out of the way: %w", c.GetName(), err)
	}
	return nil
}

// policiesOf are the failure policies of a configuration, by entry.
func policiesOf(c *unstructured.Unstructured) map[string]string {
	policies := map[string]string{}
	setPolicies(c, func(name, policy string) string { policies[name] = policy; return policy })
	return policies
}

func setPolicies(c *unstructured.Unstructured, to func(name, policy string) string) {
	entries, _ := c.Object["webhooks"].([]any)
	for _, e := range entries {
		if entry, ok := e.(map[string]any); ok {
			name, _ := entry["name"].(string)
			policy, _ := entry["failurePolicy"].(string)
			entry["failurePolicy"] = to(name, policy)
		}
	}
}

// putBack makes everything as it was that was changed for the duration. What
// somebody has replaced or changed since is left as it is.
func (r *Rescue) putBack(ctx context.Context, j *journal.Journal) error {
	for _, a := range j.Aside() {
		gvr := schema.ParseGroupResource(a.Resource).WithVersion(a.Version)
		live, err := r.Recovery.Client.Resource(gvr).Get(ctx, a.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("put %s %s back: %w", a.Resource, a.Name, err)
		case string(live.GetUID()) == a.UID:
			if err := r.restore(ctx, gvr, live, a); err != nil {
				return fmt.Errorf("put %s %s back: %w", a.Resource, a.Name, err)
			}
			r.say("", fmt.Sprintf("%s %s is as it was", a.Resource, a.Name))
		}
		if err := j.PutBack(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rescue) restore(ctx context.Context, gvr schema.GroupVersionResource, live *unstructured.Unstructured, a journal.Aside) error {
	client := r.Recovery.Client.Resource(gvr)
	if gvr == definitions {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": live.GetUID()}, "spec": map[string]any{"conversion": a.Before}})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, a.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return ignoreGone(err)
	}
	var before map[string]string
	if err := json.Unmarshal(a.Before, &before); err != nil {
		return err
	}
	for {
		setPolicies(live, func(name, policy string) string {
			if old, ours := before[name]; ours && policy == string(admissionv1.Ignore) {
				return old
			}
			return policy
		})
		_, err := client.Update(ctx, live, metav1.UpdateOptions{FieldManager: fieldManager})
		if !apierrors.IsConflict(err) {
			return ignoreGone(err)
		}
		if live, err = client.Get(ctx, a.Name, metav1.GetOptions{}); err != nil {
			return ignoreGone(err)
		}
	}
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// makeReadable sees to it that Astartes can be read in every served version,
// without which the garbage collector leaves them, and all that belongs to
// them, as they are. If a version cannot be, the conversion is switched off for
// the duration.
func (r *Rescue) makeReadable(ctx context.Context, j *journal.Journal, w *ward) error {
	for _, p := range w.Patients {
		crd, err := r.definition(ctx)
		if err != nil || crd == nil {
			return err
		}
		reason, err := r.unreadable(ctx, crd, p)
		if err != nil {
			return err
		}
		if reason == nil {
			continue
		}
		if crd.Spec.Conversion == nil || crd.Spec.Conversion.Strategy != apiextensionsv1.WebhookConverter {
			return fmt.Errorf("read %s in every version: %w", p, reason)
		}
		if err := r.switchConversionOff(ctx, j, crd); err != nil {
			return err
		}
		if err := r.wait(ctx, pending{
			step: "conversion", what: p.String() + " to be readable in every version", limit: waitLimit,
			ready: func(ctx context.Context) (bool, string, error) {
				reason, err := r.unreadable(ctx, crd, p)
				if err != nil || reason == nil {
					return err == nil, "", err
				}
				return false, reason.Error(), nil
			},
		}); err != nil {
			return err
		}
	}
	return nil
}

// unreadable is why p cannot be read in some version; nil if it can, or is gone.
func (r *Rescue) unreadable(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, p *patient) (reason, err error) {
	_, broken, err := r.read(ctx, crd, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case errors.Is(err, errUnreadable):
		return err, nil
	}
	return broken, err
}

func (r *Rescue) switchConversionOff(ctx context.Context, j *journal.Journal, crd *apiextensionsv1.CustomResourceDefinition) error {
	before, err := json.Marshal(crd.Spec.Conversion)
	if err != nil {
		return err
	}
	a := journal.Aside{Resource: definitions.GroupResource().String(), Version: definitions.Version, Name: crd.Name, UID: string(crd.UID), Before: before}
	if err := j.SetAside(ctx, a); err != nil {
		return err
	}
	r.say("conversion", "the operator's conversion webhook does not answer: the conversion of "+crd.Name+" is off until its objects have gone")
	patch := fmt.Sprintf(`{"metadata":{"uid":%q},"spec":{"conversion":{"strategy":"None","webhook":null}}}`, crd.UID)
	_, err = r.Recovery.Client.Resource(definitions).Patch(ctx, crd.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return fmt.Errorf("switch the conversion of %s off: %w", crd.Name, err)
	}
	return nil
}
