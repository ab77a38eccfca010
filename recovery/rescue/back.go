// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/release"
)

// definitionGone waits until the definition that was Terminating is no more.
// Whatever were installed before would adopt it, and go with it.
func (r *Rescue) definitionGone(ctx context.Context, w *ward) error {
	if !w.Going {
		return nil
	}
	return r.wait(ctx, pending{
		step: "definition", what: "the definition of Astartes to be gone", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			crd, err := r.definition(ctx)
			if err != nil {
				return false, "", err
			}
			if crd == nil || crd.UID != w.Definition {
				return true, "", nil
			}
			return false, whyTerminating(crd), nil
		},
	})
}

// bringOperatorBack makes sure that the operator is there.
func (r *Rescue) bringOperatorBack(ctx context.Context, w *ward) error {
	there, state, err := r.operatorThere(ctx, w)
	if err != nil || there {
		return err
	}
	r.say("operator", state)
	if err := r.Operator.BringBack(ctx, w.Release); err != nil {
		return fmt.Errorf("bring the operator back: %w", err)
	}
	return r.wait(ctx, pending{
		step: "operator", what: "the operator to be back", limit: personLimit,
		ready: func(ctx context.Context) (bool, string, error) { return r.operatorThere(ctx, w) },
	})
}

// operatorThere says whether the definition is there to stay, and, where the
// release is known that it belonged to, the release's Deployment.
func (r *Rescue) operatorThere(ctx context.Context, w *ward) (bool, string, error) {
	crd, err := r.definition(ctx)
	if err != nil {
		return false, "", err
	}
	if crd == nil {
		return false, "the definition of Astartes does not exist", nil
	}
	if crd.DeletionTimestamp != nil {
		return false, "the definition of Astartes is Terminating", nil
	}
	if w.Release.Name == "" {
		return true, "", nil
	}
	deployments := appsv1.SchemeGroupVersion.WithResource("deployments")
	list, err := r.Recovery.Metadata.Resource(deployments).Namespace(w.Release.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, "", fmt.Errorf("look for the operator's Deployment: %w", err)
	}
	for i := range list.Items {
		if key, ok := release.Of(&list.Items[i]); ok && key == w.Release && list.Items[i].DeletionTimestamp == nil {
			return true, "", nil
		}
	}
	return false, fmt.Sprintf("Helm release %s has no Deployment", w.Release), nil
}

// answering waits until Astartes can be created: the definition is served, and
// the operator's webhooks answer. A creation without effect proves it, in each
// served version, for those that are not stored need the conversion.
func (r *Rescue) answering(ctx context.Context, w *ward) error {
	return r.wait(ctx, pending{
		step: "ready", what: "the operator's webhooks to answer", limit: personLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			crd, err := r.definition(ctx)
			if err != nil {
				return false, "", err
			}
			if state := unready(crd); state != "" {
				return false, state, nil
			}
			own := w.Patients[0].Object.GroupVersionKind().Version
			versions := served(crd)
			if !slices.Contains(versions, own) {
				return false, "", fmt.Errorf("the operator that was brought back does not serve Astartes in version %s, only in %v; bring back the one that was there, or convert snapshot %s by hand", own, versions, w.Patients[0].Snapshot)
			}
			for _, version := range versions {
				err := r.tryCreate(ctx, w.Patients[0], version)
				var answer apierrors.APIStatus
				switch {
				case err == nil, apierrors.IsAlreadyExists(err):
				case !errors.As(err, &answer), apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), apierrors.IsTooManyRequests(err):
					return false, err.Error(), nil
				case version == own:
					return false, "", fmt.Errorf("the API server would not take it: %w", err)
				}
			}
			return true, "", nil
		},
	})
}

func (r *Rescue) tryCreate(ctx context.Context, p *patient, version string) error {
	obj, _ := p.again()
	obj.SetGroupVersionKind(schema.GroupVersionKind{Group: Astartes().Group, Version: version, Kind: obj.GetKind()})
	_, err := r.astartes(version, p.Namespace).Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager})
	return err
}

// unready is what crd lacks to be used; empty if nothing.
func unready(crd *apiextensionsv1.CustomResourceDefinition) string {
	switch {
	case crd == nil:
		return "the definition of Astartes does not exist"
	case crd.DeletionTimestamp != nil:
		return "the definition of Astartes is Terminating"
	}
	established := slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
	if !established {
		return "the definition of Astartes is not established yet"
	}
	c := crd.Spec.Conversion
	if c != nil && c.Strategy == apiextensionsv1.WebhookConverter && c.Webhook != nil && c.Webhook.ClientConfig != nil &&
		c.Webhook.ClientConfig.Service != nil && len(c.Webhook.ClientConfig.CABundle) == 0 {
		return "the definition of Astartes has no caBundle for its conversion webhook yet; cert-manager puts it there"
	}
	return ""
}
