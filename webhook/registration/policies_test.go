// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"
)

func ensurePolicies(t *testing.T, k *Keeper) bool {
	t.Helper()
	repaired, err := k.EnsurePolicies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return repaired
}

// Whatever is done to a policy or a binding is put right, in one go.
func TestEnsurePoliciesRepairs(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding){
		"condition added": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.MatchConditions = append(p.Spec.MatchConditions, admissionv1.MatchCondition{Name: "off", Expression: "false"})
		},
		"rule removed": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.MatchConstraints.ResourceRules = p.Spec.MatchConstraints.ResourceRules[1:]
		},
		"policy without owner": func(p *admissionv1.ValidatingAdmissionPolicy, _ *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.OwnerReferences = nil
		},
		"action changed": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
		},
		"other parameters": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.ParamRef.Name = "none"
		},
		"selector added": func(_ *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.MatchResources = &admissionv1.MatchResources{ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"never": "set"}}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, kube := newKeeper(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "holdfast", UID: "u-1"}})
			k.Policies = []Policy{FencePolicy("hf")}
			ensurePolicies(t, k)
			registered := kube.AdmissionregistrationV1()
			policy, err := registered.ValidatingAdmissionPolicies().Get(t.Context(), "holdfast-fence", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			binding, err := registered.ValidatingAdmissionPolicyBindings().Get(t.Context(), "holdfast-fence-deny", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			changedPolicy, changedBinding := policy.DeepCopy(), binding.DeepCopy()
			change(changedPolicy, changedBinding)
			if _, err := registered.ValidatingAdmissionPolicies().Update(t.Context(), changedPolicy, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := registered.ValidatingAdmissionPolicyBindings().Update(t.Context(), changedBinding, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if !ensurePolicies(t, k) {
				t.Error("the change was not noticed")
			}
			gotPolicy, err := registered.ValidatingAdmissionPolicies().Get(t.Context(), "holdfast-fence", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			gotBinding, err := registered.ValidatingAdmissionPolicyBindings().Get(t.Context(), "holdfast-fence-deny", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]any{policy.Spec, policy.OwnerReferences, binding.Spec, binding.OwnerReferences},
				[]any{gotPolicy.Spec, gotPolicy.OwnerReferences, gotBinding.Spec, gotBinding.OwnerReferences}); diff != "" {
				t.Errorf("after the repair (-want +got):\n%s", diff)
			}
			if ensurePolicies(t, k) {
				t.Error("a second look still finds something to repair")
			}
		})
	}
}

// A pause of the fence is left alone while it lasts, and then put right.
func TestEnsurePoliciesPaused(t *testing.T) {
	t.Parallel()
	k, kube := newKeeper(t)
	k.Policies = []Policy{FencePolicy("hf")}
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	k.Now = func() time.Time { return now }
	ensurePolicies(t, k)
	bindings := kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	binding, err := bindings.Get(t.Context(), "holdfast-fence-deny", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !SetBindingPause(binding, Pause{Until: now.Add(time.Hour), By: "me", Reason: "repair"}) {
		t.Fatal("the binding does not deny")
	}
	if _, err := bindings.Update(t.Context(), binding, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after        time.Duration
		wantRepaired bool
		want         admissionv1.ValidationAction
	}{{time.Minute, false, admissionv1.Warn}, {2 * time.Hour, true, admissionv1.Deny}} {
		now = now.Add(step.after)
		if repaired := ensurePolicies(t, k); repaired != step.wantRepaired {
			t.Errorf("after %s: repaired %v", step.after, repaired)
		}
		got, err := bindings.Get(t.Context(), "holdfast-fence-deny", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]admissionv1.ValidationAction{step.want}, got.Spec.ValidationActions); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.after, diff)
		}
	}
}

func TestEnsurePoliciesFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		for _, verb := range []string{"get", "patch"} {
			k, kube := newKeeper(t)
			k.Policies = []Policy{FencePolicy("hf")}
			kube.PrependReactor(verb, kind, func(k8stesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewInternalError(errors.New("no answer"))
			})
			if _, err := k.EnsurePolicies(t.Context()); err == nil {
				t.Errorf("%s of %s fails without an error", verb, kind)
			}
		}
	}
}

func TestEnsureFence(t *testing.T) {
	t.Parallel()
	k, kube := newKeeper(t)
	fences := []Fence{{ID: "b_x", Targets: []string{"release/b/x", "namespaces//b"}, Opened: []string{"Service/b/old"}, Text: "why"}, {ID: "a_y", Targets: []string{"release/a/y"}, Text: "because"}}
	want := map[string]string{
		"fenced": "namespaces//b\tb_x\nrelease/a/y\ta_y\nrelease/b/x\tb_x\n", "opened": "b_x\tService/b/old\n", "a_y": "because", "b_x": "why",
	}
	for _, step := range []struct {
		what   string
		do     func(*corev1.ConfigMap)
		fences []Fence
		want   map[string]string
	}{
		{what: "first", fences: fences, want: want},
		{what: "line removed", do: func(c *corev1.ConfigMap) { c.Data["fenced"] = "" }, fences: fences, want: want},
		{what: "key added", do: func(c *corev1.ConfigMap) { c.Data["opened"] += "a_y\tService/a/y\n"; c.Data["more"] = "x" }, fences: fences, want: want},
		{what: "opened", fences: nil, want: nil},
	} {
		if step.do != nil {
			config, err := kube.CoreV1().ConfigMaps("hf").Get(t.Context(), "holdfast-fence", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			step.do(config)
			if _, err := kube.CoreV1().ConfigMaps("hf").Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if changed, err := k.EnsureFence(t.Context(), step.fences); err != nil || !changed {
			t.Errorf("%s: changed %v, %v", step.what, changed, err)
		}
		config, err := kube.CoreV1().ConfigMaps("hf").Get(t.Context(), "holdfast-fence", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, config.Data, cmpEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
		if changed, err := k.EnsureFence(t.Context(), step.fences); err != nil || changed {
			t.Errorf("%s, again: changed %v, %v", step.what, changed, err)
		}
	}
}

// cmpEmpty makes no data and empty data the same.
func cmpEmpty() cmp.Option {
	return cmp.Transformer("empty", func(m map[string]string) map[string]string {
		if m == nil {
			return map[string]string{}
		}
		return m
	})
}
