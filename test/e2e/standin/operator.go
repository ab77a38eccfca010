// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package standin stands for the Astarte operator where the real one cannot
// run: it makes, keeps and deletes what the real ones do, as far as it matters
// to what is saved and brought back. It needs no nodes: nothing of it runs.
//
// What it does was seen of the real operators 1.0.4, 23.5.2 and 24.5.1 on a
// real API server, or read in their sources; each behaviour says which.
package standin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// Finalizer is the operator's, the same in all of its versions.
const Finalizer = "astarte.astarte-platform.org/finalizer"

// Operator is one version of the operator.
type Operator struct {
	Shape  Shape
	Client dynamic.Interface
	Kube   kubernetes.Interface
}

// Run reconciles everything, again and again, until ctx ends. Errors are those
// of objects that come and go; the next round meets them again.
func (o *Operator) Run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_ = o.Round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Round reconciles everything once.
func (o *Operator) Round(ctx context.Context) error {
	for gvr, reconcile := range map[schema.GroupVersionResource]func(context.Context, *unstructured.Unstructured) error{
		o.Shape.Astartes(): o.astarte, o.Shape.Ingresses(): o.ingress, o.Shape.Flows(): o.flow,
	} {
		list, err := o.Client.Resource(gvr).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := reconcile(ctx, &list.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *Operator) astarte(ctx context.Context, a *unstructured.Unstructured) error {
	going := a.GetDeletionTimestamp() != nil
	// spec.manualMaintenanceMode is checked before the deletion: what is
	// Terminating is not finalized then (seen: 1.0.4, 23.5.2; source: 24.5.1).
	if frozen, _, _ := unstructured.NestedBool(a.Object, "spec", "manualMaintenanceMode"); frozen {
		if going {
			return nil
		}
		return o.fillStatus(ctx, a) // and nothing else (seen: 1.0.4)
	}
	if going {
		return o.finalize(ctx, a)
	}
	if err := o.migrate(ctx, a); err != nil {
		return err
	}
	if !slices.Contains(a.GetFinalizers(), Finalizer) {
		a.SetFinalizers(append(a.GetFinalizers(), Finalizer))
		var err error
		if a, err = o.Client.Resource(o.Shape.Astartes()).Namespace(a.GetNamespace()).Update(ctx, a, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	for _, suffix := range o.Shape.Secrets {
		if err := o.secret(ctx, a, a.GetName()+suffix); err != nil {
			return err
		}
	}
	for _, suffix := range o.Shape.ConfigMaps {
		if err := o.configMap(ctx, a, a.GetName()+suffix); err != nil {
			return err
		}
	}
	for _, prefix := range o.Shape.Claims {
		if err := o.claim(ctx, a, prefix); err != nil {
			return err
		}
	}
	if err := o.workloads(ctx, a); err != nil {
		return err
	}
	return o.fillStatus(ctx, a)
}

func (o *Operator) fillStatus(ctx context.Context, a *unstructured.Unstructured) error {
	if version, _, _ := unstructured.NestedString(a.Object, "status", "astarteVersion"); version != "" {
		return nil
	}
	_ = unstructured.SetNestedField(a.Object, o.Shape.Version, "status", "astarteVersion") // it is an object
	_, err := o.Client.Resource(o.Shape.Astartes()).Namespace(a.GetNamespace()).UpdateStatus(ctx, a, metav1.UpdateOptions{})
	return err
}

// finalize deletes what the real one deletes, in its order, and not the CA: that
// is owned, and the garbage collector takes it a second later (seen: audit log
// of all three). Errors on the Secret and the claims are only logged by the real
// one (source: lib/controllerutils/astarte_finalizer.go).
func (o *Operator) finalize(ctx context.Context, a *unstructured.Unstructured) error {
	if !slices.Contains(a.GetFinalizers(), Finalizer) {
		return nil
	}
	_ = o.Kube.CoreV1().Secrets(a.GetNamespace()).Delete(ctx, a.GetName()+"-cfssl-ca", metav1.DeleteOptions{})
	claims, err := o.Kube.CoreV1().PersistentVolumeClaims(a.GetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, c := range claims.Items {
		if slices.ContainsFunc(Erased(), func(what string) bool { return strings.HasPrefix(c.Name, a.GetName()+what) }) {
			_ = o.Kube.CoreV1().PersistentVolumeClaims(c.Namespace).Delete(ctx, c.Name, metav1.DeleteOptions{})
		}
	}
	// An error on these, which are the whole cluster's, does hold it up (22.11 and later).
	for _, class := range o.Shape.PriorityClasses {
		if err := o.Kube.SchedulingV1().PriorityClasses().Delete(ctx, class, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	a.SetFinalizers(slices.DeleteFunc(a.GetFinalizers(), func(f string) bool { return f == Finalizer }))
	_, err = o.Client.Resource(o.Shape.Astartes()).Namespace(a.GetNamespace()).Update(ctx, a, metav1.UpdateOptions{})
	return err
}

// ingress makes what belongs to an AstarteDefaultIngress.
func (o *Operator) ingress(ctx context.Context, i *unstructured.Unstructured) error {
	if i.GetDeletionTimestamp() != nil {
		return nil
	}
	return o.configMap(ctx, i, i.GetName()+"-api-ingress-config")
}

// flow makes what belongs to a Flow.
func (o *Operator) flow(ctx context.Context, f *unstructured.Unstructured) error {
	if f.GetDeletionTimestamp() != nil {
		return nil
	}
	astarte, _, _ := unstructured.NestedString(f.Object, "spec", "astarte", "name")
	return o.secret(ctx, f, fmt.Sprintf("%s-flow-%s-block-0", astarte, f.GetName()))
}

// secret makes a Secret that is missing. One that is there is left alone, and
// not adopted.
func (o *Operator) secret(ctx context.Context, owner *unstructured.Unstructured, name string) error {
	return unlessThere(o.Kube.CoreV1().Secrets(owner.GetNamespace()).Create(ctx, &corev1.Secret{
		ObjectMeta: owned(owner, name), StringData: map[string]string{"made": string(uuid.NewUUID())},
	}, metav1.CreateOptions{}))
}

func (o *Operator) configMap(ctx context.Context, owner *unstructured.Unstructured, name string) error {
	return unlessThere(o.Kube.CoreV1().ConfigMaps(owner.GetNamespace()).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: owned(owner, name), Data: map[string]string{"for": owner.GetName()},
	}, metav1.CreateOptions{}))
}

// claim makes a claim as a StatefulSet would; nobody owns it.
func (o *Operator) claim(ctx context.Context, a *unstructured.Unstructured, what string) error {
	name := fmt.Sprintf("%s%s-%s%s-0", a.GetName(), what, a.GetName(), strings.TrimSuffix(what, "-data"))
	return unlessThere(o.Kube.CoreV1().PersistentVolumeClaims(a.GetNamespace()).Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{}))
}

func owned(owner *unstructured.Unstructured, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: types.UID(owner.GetUID()),
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}}}
}

func unlessThere[T any](_ T, err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
