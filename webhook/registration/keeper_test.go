// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/profile"
)

func newKeeper(t *testing.T, objects ...runtime.Object) (*Keeper, *fake.Clientset) {
	t.Helper()
	kube := fake.NewClientset(objects...)
	return &Keeper{Kube: kube, Profiles: nuodb(t), ClusterRole: "holdfast", Options: Options{Namespace: "hf", ServiceName: "holdfast"}}, kube
}

func ensure(t *testing.T, k *Keeper) bool {
	t.Helper()
	repaired, err := k.Ensure(t.Context(), []byte("CA"))
	if err != nil {
		t.Fatal(err)
	}
	return repaired
}

func live(t *testing.T, k *Keeper) *admissionv1.ValidatingWebhookConfiguration {
	t.Helper()
	config, err := k.configurations().Get(t.Context(), "holdfast", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// Whatever is done to the configuration is put right, in one go.
func TestEnsureRepairs(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*admissionv1.ValidatingWebhookConfiguration){
		"entry removed":       func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks = c.Webhooks[1:] },
		"all entries removed": func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks = nil },
		"set to Ignore": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].FailurePolicy = ptr.To(admissionv1.Ignore)
		},
		"rules removed":   func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks[0].Rules = c.Webhooks[0].Rules[:0] },
		"other authority": func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks[0].ClientConfig.CABundle = []byte("X") },
		"namespace left out": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values = []string{"hf", "prod"}
		},
		"labels asked for": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].ObjectSelector.MatchLabels = map[string]string{"never": "set"}
		},
		"condition added": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].MatchConditions = append(c.Webhooks[0].MatchConditions, admissionv1.MatchCondition{Name: "off", Expression: "false"})
		},
		"condition changed": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[0].MatchConditions[0].Expression = "false"
		},
		"foreign entry added": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks = append(c.Webhooks, *c.Webhooks[0].DeepCopy())
			c.Webhooks[2].Name = "other.example.com"
		},
		"owner taken away":      func(c *admissionv1.ValidatingWebhookConfiguration) { c.OwnerReferences = nil },
		"owned by what is gone": func(c *admissionv1.ValidatingWebhookConfiguration) { c.OwnerReferences[0].UID = "dead" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := newKeeper(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "holdfast", UID: "u-1"}})
			ensure(t, k)
			want := live(t, k)
			changed := want.DeepCopy()
			change(changed)
			if _, err := k.configurations().Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if !ensure(t, k) {
				t.Error("the change was not noticed")
			}
			got := live(t, k)
			if diff := cmp.Diff(want.Webhooks, got.Webhooks); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.OwnerReferences, got.OwnerReferences); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			if ensure(t, k) {
				t.Error("a second look still finds something to repair")
			}
		})
	}
}

func TestEnsureWithoutClusterRole(t *testing.T) {
	t.Parallel()
	k, _ := newKeeper(t)
	ensure(t, k)
	if owners := live(t, k).OwnerReferences; len(owners) > 0 {
		t.Errorf("owners = %v", owners)
	}
}

func TestEnsureFaults(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"get", "patch"} {
		k, kube := newKeeper(t)
		kube.PrependReactor(verb, "validatingwebhookconfigurations", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInternalError(errors.New("no answer"))
		})
		if _, err := k.Ensure(t.Context(), []byte("CA")); err == nil {
			t.Errorf("%s fails without an error", verb)
		}
	}
	k, _ := newKeeper(t)
	k.Options.ServiceName = ""
	if _, err := k.Ensure(t.Context(), nil); err == nil {
		t.Error("neither Service nor URL, and no error")
	}
}

func TestPublishProfiles(t *testing.T) {
	t.Parallel()
	k, kube := newKeeper(t)
	for range 2 {
		if err := k.PublishProfiles(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	config, err := kube.CoreV1().ConfigMaps("hf").Get(t.Context(), "holdfast-profiles", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := profile.Parse([]byte(config.Data["nuodb.yaml"]))
	if err != nil {
		t.Fatalf("what was published cannot be read: %v", err)
	}
	set, err := profile.NewSet(got...)
	if err != nil {
		t.Fatal(err)
	}
	if set.Digest() != k.Profiles.Digest() {
		t.Error("what was published is another profile")
	}
}
