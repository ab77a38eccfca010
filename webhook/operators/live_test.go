// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

func operatorOf(t *testing.T, text string) *profile.Set {
	t.Helper()
	p, err := profile.Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: billing}\nspec:\n  resources: [{resource: plans.billing.example}]\n  operators: [" + text + "]\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(p...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func helm(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      map[string]string{"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": name},
		Annotations: map[string]string{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "ops"},
	}
}

func argo(tracking string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Annotations: map[string]string{"argocd.argoproj.io/tracking-id": tracking}}
}

func labelled(label, value string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Labels: map[string]string{label: value}}
}

// crd and account are known by their metadata alone.
func crd(meta metav1.ObjectMeta, name string) runtime.Object {
	meta.Name = name
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}, ObjectMeta: meta}
}

func account(meta metav1.ObjectMeta, namespace, name string) runtime.Object {
	meta.Namespace, meta.Name = namespace, name
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: meta}
}

func deployment(meta metav1.ObjectMeta, namespace, name, account string) *appsv1.Deployment {
	meta.Namespace, meta.Name, meta.UID = namespace, name, types.UID(namespace+name)
	d := &appsv1.Deployment{ObjectMeta: meta}
	d.Spec.Template.Spec = corev1.PodSpec{ServiceAccountName: account}
	return d
}

func going(d *appsv1.Deployment) *appsv1.Deployment {
	d.DeletionTimestamp = &metav1.Time{}
	d.Finalizers = []string{"a/b"}
	return d
}

// newLive is a Live over these objects.
func newLive(t *testing.T, objects ...runtime.Object) (*Live, *fake.Clientset, *metadatafake.FakeMetadataClient) {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var full, partial []runtime.Object
	for _, o := range objects {
		if _, ok := o.(*metav1.PartialObjectMetadata); ok {
			partial = append(partial, o)
		} else {
			full = append(full, o)
		}
	}
	kube, meta := fake.NewClientset(full...), metadatafake.NewSimpleMetadataClient(scheme, partial...)
	return &Live{Kube: kube, Metadata: meta}, kube, meta
}

const ofPlans = "{release: {ofCRDs: [plans.billing.example, rates.billing.example]}}"

func TestOf(t *testing.T) {
	t.Parallel()
	r := helm("flow")
	const user = "system:serviceaccount:ops:"
	tests := map[string]struct {
		reason   string
		operator string
		objects  []runtime.Object
		status   func(context.Context, string, string) (bool, error)
		want     guard.OperatorState
		wantErr  string
	}{
		"of a Helm release": {
			objects: []runtime.Object{
				crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "runner"), account(r, "ops", "api"),
				deployment(metav1.ObjectMeta{}, "ops", "foreign", "foreign"), deployment(helm("other"), "ops", "others", "others"), account(helm("other"), "ops", "others"),
			},
			want: guard.OperatorState{Users: []string{user + "api", user + "runner"}},
		},
		"without a ServiceAccount of its own": {
			objects: []runtime.Object{crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "")},
			want:    guard.OperatorState{Users: []string{user + "default"}},
		},
		"of a release whose Deployment is elsewhere": {
			reason:  "whoever may write there is not the operator's owner",
			objects: []runtime.Object{crd(r, "plans.billing.example"), deployment(r, "shop", "controller", "runner")},
			want:    guard.OperatorState{Away: "Helm release ops/flow has no Deployment"},
		},
		"missing": {
			objects: []runtime.Object{crd(r, "rates.billing.example"), account(r, "ops", "api")},
			want:    guard.OperatorState{Away: "Helm release ops/flow has no Deployment", Users: []string{user + "api"}},
		},
		"being deleted": {
			objects: []runtime.Object{crd(r, "plans.billing.example"), going(deployment(r, "ops", "controller", "runner"))},
			want:    guard.OperatorState{Away: "Deployment ops/controller is being deleted", Users: []string{user + "runner"}},
		},
		"being uninstalled": {
			objects: []runtime.Object{crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "runner")},
			status: func(_ context.Context, namespace, name string) (bool, error) {
				return namespace+"/"+name == "ops/flow", nil
			},
			want: guard.OperatorState{Away: "Helm release ops/flow is being uninstalled", Users: []string{user + "runner"}},
		},
		"Helm's records may not be read": {
			reason:  "the live objects tell as well",
			objects: []runtime.Object{crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "runner")},
			status: func(context.Context, string, string) (bool, error) {
				return false, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil)
			},
			want: guard.OperatorState{Users: []string{user + "runner"}},
		},
		"Helm's records cannot be read": {
			objects: []runtime.Object{crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "runner")},
			status:  func(context.Context, string, string) (bool, error) { return false, errors.New("no answer") },
			wantErr: "look at Helm release ops/flow: no answer",
		},
		"of an application, by annotation": {
			objects: []runtime.Object{
				crd(argo("flow:apiextensions.k8s.io/CustomResourceDefinition:ops/plans.billing.example"), "plans.billing.example"),
				deployment(argo("flow:apps/Deployment:ops/controller"), "ops", "controller", "runner"),
				deployment(argo("other:apps/Deployment:ops/others"), "ops", "others", "others"),
			},
			want: guard.OperatorState{Users: []string{user + "runner"}},
		},
		"of an application, by label": {
			objects: []runtime.Object{
				crd(labelled("argocd.argoproj.io/instance", "flow"), "plans.billing.example"),
				deployment(labelled("argocd.argoproj.io/instance", "flow"), "ops", "controller", "runner"),
				deployment(labelled("argocd.argoproj.io/instance", "other"), "ops", "others", "others"),
			},
			want: guard.OperatorState{Users: []string{user + "runner"}},
		},
		"of an application that is gone": {
			objects: []runtime.Object{crd(labelled("argocd.argoproj.io/instance", "flow"), "plans.billing.example")},
			want:    guard.OperatorState{Away: "Argo CD application flow has no Deployment"},
		},
		"by the common label": {
			reason: "a Helm release of that name is another one",
			objects: []runtime.Object{
				crd(labelled("app.kubernetes.io/instance", "flow"), "plans.billing.example"),
				deployment(helm("flow"), "ops", "helms", "helms"),
				deployment(labelled("app.kubernetes.io/instance", "flow"), "ops", "controller", "runner"),
			},
			want: guard.OperatorState{Users: []string{user + "runner"}},
		},
		"no marks": {
			objects: []runtime.Object{crd(metav1.ObjectMeta{}, "plans.billing.example"), deployment(r, "ops", "controller", "runner")},
			want:    guard.OperatorState{Away: "its definitions bear no mark of Helm or Argo CD, and profile billing lists no Deployment and no ServiceAccount of it under operators"},
		},
		"by a list of objects": {
			operator: "{release: {objects: [{resource: deployments.apps, namespace: ops, name: controller}, {resource: serviceaccounts, namespace: ops, name: api}, {resource: services, namespace: ops, name: web}]}}",
			objects:  []runtime.Object{deployment(metav1.ObjectMeta{}, "ops", "controller", "runner")},
			want:     guard.OperatorState{Users: []string{user + "api", user + "runner"}},
		},
		"by a list of objects, one missing": {
			operator: "{release: {objects: [{resource: deployments.apps, namespace: ops, name: controller}, {resource: deployments.apps, namespace: ops, name: web}]}}",
			objects:  []runtime.Object{deployment(metav1.ObjectMeta{}, "ops", "web", "web")},
			want:     guard.OperatorState{Away: "Deployment ops/controller does not exist", Users: []string{user + "web"}},
		},
		"by a ServiceAccount": {
			operator: "{serviceAccounts: [{namespace: ops, name: runner}]}",
			objects:  []runtime.Object{deployment(metav1.ObjectMeta{}, "ops", "controller", "runner")},
			want:     guard.OperatorState{Users: []string{user + "runner"}},
		},
		"by a ServiceAccount, missing": {
			operator: "{serviceAccounts: [{namespace: ops, name: runner}]}",
			objects:  []runtime.Object{deployment(metav1.ObjectMeta{}, "ops", "others", "others")},
			want:     guard.OperatorState{Away: "no Deployment in namespace ops runs as ServiceAccount runner", Users: []string{user + "runner"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.operator == "" {
				tc.operator = ofPlans
			}
			live, _, _ := newLive(t, tc.objects...)
			live.Uninstalling = tc.status
			got, err := live.Of(t.Context(), operatorOf(t, tc.operator).Operators()[0])
			if (err != nil || tc.wantErr != "") && (err == nil || err.Error() != tc.wantErr) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("state (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

// Not knowing is never "there".
func TestOfFaults(t *testing.T) {
	t.Parallel()
	r := helm("flow")
	fail := func(resource string) clienttesting.ReactionFunc {
		return func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
		}
	}
	for resource, operator := range map[string]string{
		"customresourcedefinitions": ofPlans, "deployments": ofPlans, "serviceaccounts": ofPlans,
		"deployments by account": "{serviceAccounts: [{namespace: ops, name: runner}]}",
		"deployments by name":    "{release: {objects: [{resource: deployments.apps, namespace: ops, name: controller}]}}",
	} {
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			live, kube, meta := newLive(t, crd(r, "plans.billing.example"), deployment(r, "ops", "controller", "runner"))
			if resource == "customresourcedefinitions" || resource == "serviceaccounts" {
				meta.PrependReactor("*", resource, fail(resource))
			} else {
				kube.PrependReactor("*", "deployments", fail("deployments"))
			}
			if state, err := live.Of(t.Context(), operatorOf(t, operator).Operators()[0]); err == nil {
				t.Errorf("state %+v without an error", state)
			}
		})
	}
}

func TestGoing(t *testing.T) {
	t.Parallel()
	gone := metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: metav1.Now().Time}, Finalizers: []string{"a/b"}}
	live, _, meta := newLive(t, crd(metav1.ObjectMeta{}, "plans.billing.example"), crd(gone, "rates.billing.example"))
	for name, want := range map[string]bool{"plans.billing.example": false, "rates.billing.example": true, "none.billing.example": false} {
		got, err := live.Going(t.Context(), schema.ParseGroupResource(name))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	meta.PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no answer")
	})
	if _, err := live.Going(t.Context(), schema.ParseGroupResource("plans.billing.example")); err == nil {
		t.Error("no answer is taken for one")
	}
}
