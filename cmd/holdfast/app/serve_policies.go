// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// followPolicies calls changed whenever something happens to one of policies,
// until ctx ends. Each object is watched by its name: the right to watch is
// limited to that.
func followPolicies(ctx context.Context, kube kubernetes.Interface, policies []registration.Policy, changed func()) {
	for _, p := range policies {
		followNamed(ctx, kube, p.Policy.Name, changed, func(f informers.SharedInformerFactory) toolscache.SharedIndexInformer {
			return f.Admissionregistration().V1().ValidatingAdmissionPolicies().Informer()
		})
		for _, b := range p.Bindings {
			followNamed(ctx, kube, b.Name, changed, func(f informers.SharedInformerFactory) toolscache.SharedIndexInformer {
				return f.Admissionregistration().V1().ValidatingAdmissionPolicyBindings().Informer()
			})
		}
	}
}

// followNamed watches the one object of that name.
func followNamed(ctx context.Context, kube kubernetes.Interface, name string, changed func(),
	of func(informers.SharedInformerFactory) toolscache.SharedIndexInformer, options ...informers.SharedInformerOption,
) {
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, append(options, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	}))...)
	// It fails for an informer that has been stopped only, and this one is new.
	_, _ = of(factory).AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() },
	})
	factory.Start(ctx.Done())
}
