// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bytes"
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

var (
	deployments  = appsv1.SchemeGroupVersion.WithResource("deployments")
	statefulSets = appsv1.SchemeGroupVersion.WithResource("statefulsets")
	services     = corev1.SchemeGroupVersion.WithResource("services")
	secrets      = corev1.SchemeGroupVersion.WithResource("secrets")
)

// migrate takes an Astarte without status.astarteVersion, whose Housekeeping
// runs, for one of an old operator, and makes its StatefulSets anew, Pods left
// alone (seen: 1.0.4).
func (o *Operator) migrate(ctx context.Context, a *unstructured.Unstructured) error {
	if version, _, _ := unstructured.NestedString(a.Object, "status", "astarteVersion"); version != "" {
		return nil
	}
	_, err := o.Kube.AppsV1().Deployments(a.GetNamespace()).Get(ctx, a.GetName()+"-housekeeping", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, suffix := range o.Shape.StatefulSets {
		err := o.Kube.AppsV1().StatefulSets(a.GetNamespace()).Delete(ctx, a.GetName()+suffix, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan)})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// workloads makes what runs of an Astarte, with no Pods, and adopts what is
// there without an owner, as of an Astarte before this one (seen: 1.0.4, 23.5.2).
// The proxy secret is the copy of the CA's certificate, remade at each reconcile
// and adopted as well (source: lib/reconcile/cfssl.go); the CA is neither.
func (o *Operator) workloads(ctx context.Context, a *unstructured.Unstructured) error {
	for _, class := range o.Shape.PriorityClasses {
		if err := unlessThere(o.Kube.SchedulingV1().PriorityClasses().Create(ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Value: 1}, metav1.CreateOptions{})); err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		resource schema.GroupVersionResource
		suffixes []string
		make     func(meta metav1.ObjectMeta) any
	}{
		{deployments, o.Shape.Deployments, newDeployment}, {statefulSets, o.Shape.StatefulSets, newStatefulSet}, {services, o.Shape.Services, newService},
	} {
		for _, suffix := range kind.suffixes {
			name := a.GetName() + suffix
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(kind.make(owned(a, name)))
			if err != nil {
				return err
			}
			_, err = o.Client.Resource(kind.resource).Namespace(a.GetNamespace()).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				err = o.adopt(ctx, kind.resource, a, name)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := o.copyCA(ctx, a); err != nil {
		return err
	}
	return o.adopt(ctx, secrets, a, a.GetName()+"-cfssl-ca")
}

func (o *Operator) copyCA(ctx context.Context, a *unstructured.Unstructured) error {
	client := o.Kube.CoreV1().Secrets(a.GetNamespace())
	ca, err := client.Get(ctx, a.GetName()+"-devices-ca", metav1.GetOptions{})
	if err != nil {
		return err
	}
	proxy, err := client.Get(ctx, a.GetName()+"-cfssl-ca", metav1.GetOptions{})
	if err != nil || bytes.Equal(proxy.Data["ca.crt"], ca.Data["made"]) {
		return err
	}
	proxy.Data = map[string][]byte{"ca.crt": ca.Data["made"]}
	_, err = client.Update(ctx, proxy, metav1.UpdateOptions{})
	return err
}

// adopt makes a the owner of what has none.
func (o *Operator) adopt(ctx context.Context, resource schema.GroupVersionResource, a *unstructured.Unstructured, name string) error {
	client := o.Client.Resource(resource).Namespace(a.GetNamespace())
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil || slices.ContainsFunc(live.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == a.GetUID() }) {
		return err
	}
	live.SetOwnerReferences(owned(a, name).OwnerReferences)
	_, err = client.Update(ctx, live, metav1.UpdateOptions{})
	return err
}

func pods(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	labels := map[string]string{"app": name}
	return &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "it", Image: "example.invalid/it"}}},
	}
}

func newDeployment(meta metav1.ObjectMeta) any {
	selector, template := pods(meta.Name)
	return &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(0)), Selector: selector, Template: template}}
}

func newStatefulSet(meta metav1.ObjectMeta) any {
	selector, template := pods(meta.Name)
	return &appsv1.StatefulSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To(int32(0)), Selector: selector, Template: template, ServiceName: meta.Name}}
}

func newService(meta metav1.ObjectMeta) any {
	return &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": meta.Name}}}
}
