// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// Policy is a ValidatingAdmissionPolicy with its bindings, which the API server
// applies by itself, also while Holdfast is down. Every default is spelled out,
// because what is registered is compared with it as a whole.
type Policy struct {
	Policy   *admissionv1.ValidatingAdmissionPolicy
	Bindings []*admissionv1.ValidatingAdmissionPolicyBinding
}

// EnsurePolicies applies k.Policies and puts right what is wrong with them. It
// changes nothing when all is well.
func (k *Keeper) EnsurePolicies(ctx context.Context) (repaired bool, err error) {
	owners, err := k.owners(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range k.Policies {
		policy := p.Policy.DeepCopy()
		policy.OwnerReferences = owners
		done, err := keep(ctx, k.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies(), policy, policyPart)
		if err != nil {
			return repaired, err
		}
		repaired = repaired || done
		for _, b := range p.Bindings {
			binding := b.DeepCopy()
			binding.OwnerReferences = owners
			if err := k.honourBindingPause(ctx, binding); err != nil {
				return repaired, err
			}
			done, err := keep(ctx, k.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings(), binding, bindingPart)
			if err != nil {
				return repaired, err
			}
			repaired = repaired || done
		}
	}
	return repaired, nil
}

func (k *Keeper) owners(ctx context.Context) ([]metav1.OwnerReference, error) {
	owner, err := k.owner(ctx)
	if err != nil || owner == nil {
		return nil, err
	}
	return []metav1.OwnerReference{*owner}, nil
}

// part is what Holdfast has to say about objects of one kind.
type part[T any] struct {
	kind string
	same func(live, want *T) bool
	take func(live, want *T)
}

var policyPart = part[admissionv1.ValidatingAdmissionPolicy]{
	kind: "ValidatingAdmissionPolicy",
	same: func(live, want *admissionv1.ValidatingAdmissionPolicy) bool {
		return equality.Semantic.DeepEqual(live.Spec, want.Spec) && equality.Semantic.DeepEqual(live.OwnerReferences, want.OwnerReferences)
	},
	take: func(live, want *admissionv1.ValidatingAdmissionPolicy) {
		live.Spec, live.OwnerReferences = want.Spec, want.OwnerReferences
	},
}

var bindingPart = part[admissionv1.ValidatingAdmissionPolicyBinding]{
	kind: "ValidatingAdmissionPolicyBinding",
	same: func(live, want *admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return isPaused(live) == isPaused(want) && equality.Semantic.DeepEqual(live.Spec, want.Spec) && equality.Semantic.DeepEqual(live.OwnerReferences, want.OwnerReferences)
	},
	take: func(live, want *admissionv1.ValidatingAdmissionPolicyBinding) {
		live.Spec, live.OwnerReferences = want.Spec, want.OwnerReferences
		if !isPaused(want) {
			unannotate(live)
		}
	},
}

// kept is the client of one kind.
type kept[T any] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*T, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*T, error)
	Update(ctx context.Context, object *T, opts metav1.UpdateOptions) (*T, error)
}

// keep makes the live object what want says. Server-side apply, which may
// create under a role that names the object, leaves alone what others have
// added; whatever is left over after it is taken out by a plain update.
func keep[T any, P interface {
	*T
	metav1.Object
}](ctx context.Context, client kept[T], want P, p part[T]) (changed bool, err error) {
	name := want.GetName()
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err == nil && p.same(live, want) {
		return false, nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read %s %q: %w", p.kind, name, err)
	}
	annotations := want.GetAnnotations()
	want.SetAnnotations(nil) // they tell of a pause, which is somebody else's to write
	data, err := json.Marshal(want)
	want.SetAnnotations(annotations)
	if err != nil {
		return false, fmt.Errorf("encode %s %q: %w", p.kind, name, err)
	}
	live, err = client.Patch(ctx, name, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: fieldManager, Force: ptr.To(true)})
	if err != nil {
		return false, fmt.Errorf("apply %s %q: %w", p.kind, name, err)
	}
	if p.same(live, want) {
		return true, nil
	}
	p.take(live, want)
	if _, err := client.Update(ctx, live, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return false, fmt.Errorf("update %s %q: %w", p.kind, name, err)
	}
	return true, nil
}
