// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	serviceResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	secretResource  = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// configuration is what validating and mutating webhook configurations have in
// common.
type configuration struct {
	Webhooks []struct {
		Name          string                           `json:"name"`
		ClientConfig  admissionv1.WebhookClientConfig  `json:"clientConfig"`
		FailurePolicy admissionv1.FailurePolicyType    `json:"failurePolicy"`
		Rules         []admissionv1.RuleWithOperations `json:"rules"`
	} `json:"webhooks"`
}

// readHooks takes the entries of webhook configurations that concern guarded
// kinds, and finds out whether their Services exist.
func (s *Scanner) readHooks(ctx context.Context, w *world) error {
	for _, gvr := range []schema.GroupVersionResource{validatingResource, mutatingResource} {
		err := s.each(ctx, gvr, func(o *unstructured.Unstructured) {
			var c configuration
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &c); err != nil {
				w.cannot(gvr.GroupResource().String()+" "+o.GetName(), err)
				return
			}
			if gvr == validatingResource && o.GetName() == holdfastName {
				w.own = marks{true, o.GetLabels(), o.GetAnnotations()}
			}
			for _, e := range c.Webhooks {
				h := hook{
					resource: gvr.GroupResource().String(), configuration: o.GetName(), name: e.Name,
					blocks: e.FailurePolicy != admissionv1.Ignore, guarded: s.concerned(e.Rules),
				}
				if service := e.ClientConfig.Service; service != nil {
					h.service = &types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
				}
				w.hooks = append(w.hooks, h)
			}
		})
		if err != nil {
			return err
		}
	}
	for _, h := range w.hooks {
		if h.service == nil || len(h.guarded) == 0 || w.services[*h.service] {
			continue
		}
		_, err := s.Metadata.Resource(serviceResource).Namespace(h.service.Namespace).Get(ctx, h.service.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		w.services[*h.service] = true // it is there, or not known to be gone
		w.cannot("service "+h.service.String(), err)
	}
	return nil
}

// concerned are the resources of the profiles that rules match by name.
func (s *Scanner) concerned(rules []admissionv1.RuleWithOperations) []string {
	var concerned []string
	for _, gr := range s.resources() {
		if slices.ContainsFunc(rules, func(r admissionv1.RuleWithOperations) bool {
			return slices.Contains(r.APIGroups, gr.Group) && (slices.Contains(r.Resources, gr.Resource) || slices.Contains(r.Resources, "*"))
		}) {
			concerned = append(concerned, gr.String())
		}
	}
	return concerned
}

// readOwned takes the Secrets that belong to objects of guarded kinds, in the
// namespaces in which there are such objects, or were when they were saved.
func (s *Scanner) readOwned(ctx context.Context, w *world) {
	groups := map[string]bool{}
	for _, g := range s.Profiles.Resources() {
		groups[g.Resource.Group] = true
	}
	for _, namespace := range w.namespaces() {
		opts := metav1.ListOptions{Limit: 2 * pageSize}
		for {
			page, err := s.Metadata.Resource(secretResource).Namespace(namespace).List(ctx, opts)
			if err != nil {
				w.cannot("secrets of namespace "+namespace, err)
				break
			}
			for _, item := range page.Items {
				w.secrets[types.NamespacedName{Namespace: item.Namespace, Name: item.Name}] = item.UID
				for _, ref := range item.OwnerReferences {
					if gv, err := schema.ParseGroupVersion(ref.APIVersion); err == nil && gv.Group != "" && groups[gv.Group] {
						w.owned = append(w.owned, ownedObject{"secrets", types.NamespacedName{Namespace: item.Namespace, Name: item.Name}, ref})
					}
				}
			}
			if opts.Continue = page.Continue; opts.Continue == "" {
				break
			}
		}
	}
}

// namespaces are those that hold guarded objects, or held some.
func (w *world) namespaces() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, k := range w.kinds {
		if _, guarded := w.profiles.Guarded(k.resource); guarded {
			for name := range k.objects {
				add(name.Namespace)
			}
		}
	}
	for _, r := range w.records {
		if _, guarded := w.profiles.Guarded(r.GroupResource()); guarded {
			add(r.Namespace)
		}
	}
	slices.Sort(names)
	return names
}
