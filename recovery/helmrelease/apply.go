// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	helm "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/config/release"
)

// manager is Helm's field manager: what it did not write itself it would not
// take away in a later upgrade either.
const manager = "helm"

// description is what 'helm history' shows of a revision whose record was mended.
const description = "Brought back by Holdfast"

// applying is a plan at work.
type applying struct {
	*Helm
	plan *Plan
	tell func(Progress)
}

// Apply does what plan says. It tells what it does and what it waits for. Its
// steps can be done again: a run that was killed is finished by planning and
// applying anew. The release's own record is written last, for with it Helm
// takes the release for installed.
func (h *Helm) Apply(ctx context.Context, plan *Plan, tell func(Progress)) error {
	if plan.Refused != "" {
		return errors.New(plan.Refused)
	}
	a := &applying{Helm: h, plan: plan, tell: tell}
	// An operator that starts while its definition is Terminating finishes the
	// deletion of the instances.
	for _, o := range plan.Going() {
		if err := a.waitGone(ctx, o); err != nil {
			return err
		}
	}
	for _, o := range plan.Objects {
		if o.Definition {
			if err := a.define(ctx, o); err != nil {
				return err
			}
		}
	}
	if err := a.runHooks(ctx, helm.HookPreInstall); err != nil {
		return err
	}
	if err := a.applyManifest(ctx); err != nil {
		return err
	}
	if err := a.runHooks(ctx, helm.HookPostInstall); err != nil {
		return err
	}
	return a.record(ctx)
}

// define creates what Helm creates once and does not own.
func (a *applying) define(ctx context.Context, o *Object) error {
	if o.Presence == Present || o.Presence == Newer {
		return nil
	}
	if err := a.apply(ctx, o); err != nil {
		return err
	}
	if !o.definition() {
		return nil
	}
	return a.waitEstablished(ctx, o)
}

// applyManifest applies the objects of the manifest. Definitions are ready
// before what comes after them.
func (a *applying) applyManifest(ctx context.Context) error {
	var defined []*Object
	for _, o := range a.plan.Objects {
		if o.Definition || o.Hook != "" || (a.plan.State == StateDeployed && o.Presence == Present) {
			continue
		}
		if !o.definition() {
			for _, crd := range defined {
				if err := a.waitEstablished(ctx, crd); err != nil {
					return err
				}
			}
			defined = nil
		}
		if err := a.apply(ctx, o); err != nil {
			return err
		}
		if o.definition() {
			defined = append(defined, o)
		}
	}
	for _, crd := range defined {
		if err := a.waitEstablished(ctx, crd); err != nil {
			return err
		}
	}
	return nil
}

// apply makes an object be as the release has it.
func (a *applying) apply(ctx context.Context, o *Object) error {
	client, err := a.clientOf(ctx, o)
	if err != nil {
		return err
	}
	a.tell(Progress{Do: "apply " + o.String()})
	if o.Presence == Newer {
		err = a.mark(ctx, client, o)
	} else {
		err = a.retry(ctx, "the API server to take "+o.String(), func(ctx context.Context) error {
			_, err := client.Apply(ctx, o.Name, a.plan.owned(o), metav1.ApplyOptions{FieldManager: manager, Force: true})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", o, err)
	}
	return nil
}

// mark makes an object the release's and leaves the rest of it alone. An apply
// would take away what Helm has applied before and is not named now.
func (a *applying) mark(ctx context.Context, client dynamic.ResourceInterface, o *Object) error {
	if o.Definition || o.Hook != "" {
		return nil
	}
	labels, annotations := a.plan.marks()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	return err
}

// record writes the Secrets by which Helm knows the release: first the older
// revisions, last the one that is deployed.
func (a *applying) record(ctx context.Context) error {
	for _, old := range a.plan.history {
		secret, err := old.Stored(release.Superseded, "Superseded")
		if err != nil {
			return err
		}
		if err := a.store(ctx, secret); err != nil {
			return err
		}
	}
	secret, err := a.plan.revision.Stored(release.Deployed, description)
	if err != nil {
		return err
	}
	a.tell(Progress{Do: fmt.Sprintf("note revision %d of Helm release %s as deployed", a.plan.Revision, a.plan.Key())})
	return a.store(ctx, secret)
}

// store writes a Secret of Helm's. One that is there is replaced only if it is
// still what the plan saw.
func (a *applying) store(ctx context.Context, secret *corev1.Secret) error {
	secrets := a.Kube.CoreV1().Secrets(secret.Namespace)
	live := a.plan.live
	if live != nil && live.Name == secret.Name {
		if maps.Equal(live.Labels, secret.Labels) && string(live.Data["release"]) == string(secret.Data["release"]) {
			return nil
		}
		secret.ResourceVersion = live.ResourceVersion
		if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: manager}); err != nil {
			return fmt.Errorf("update Secret %s/%s: %w; plan it again", secret.Namespace, secret.Name, err)
		}
		return nil
	}
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) {
		there, getErr := secrets.Get(ctx, secret.Name, metav1.GetOptions{})
		if getErr == nil && string(there.Data["release"]) == string(secret.Data["release"]) {
			return nil // an earlier run of this has written it
		}
	}
	if err != nil {
		return fmt.Errorf("create Secret %s/%s: %w; plan it again", secret.Namespace, secret.Name, err)
	}
	return nil
}
