// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestPauseOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		until string
		want  bool
	}{
		"none":          {"", false},
		"a while":       {"2026-01-02T12:30:00Z", true},
		"another zone":  {"2026-01-02T13:30:00+01:00", true},
		"the longest":   {"2026-01-03T12:00:00Z", true},
		"over":          {"2026-01-02T12:00:00Z", false},
		"too far":       {"2026-01-03T12:02:00Z", false},
		"for ever":      {"9999-01-01T00:00:00Z", false},
		"no time":       {"tomorrow", false},
		"no date":       {"12:30", false},
		"a bare number": {"1767357000", false},
	} {
		if _, ok := PauseOf(map[string]string{"holdfast.dev/paused-until": tc.until}, noon); ok != tc.want {
			t.Errorf("%s: paused = %t", name, ok)
		}
	}
}

func policies(config *admissionv1.ValidatingWebhookConfiguration) map[string]admissionv1.FailurePolicyType {
	all := map[string]admissionv1.FailurePolicyType{}
	for _, w := range config.Webhooks {
		all[w.Name] = *w.FailurePolicy
	}
	return all
}

// A pause is honoured until its end, and whatever else is done to the
// configuration meanwhile is put right.
func TestEnsureHonoursPause(t *testing.T) {
	t.Parallel()
	k, _ := newKeeper(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "holdfast", UID: "u-1"}})
	now := noon
	k.Now = func() time.Time { return now }
	ensure(t, k)
	before := live(t, k)
	update := func(change func(*admissionv1.ValidatingWebhookConfiguration)) {
		t.Helper()
		config := live(t, k)
		change(config)
		if _, err := k.configurations().Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update(func(c *admissionv1.ValidatingWebhookConfiguration) {
		SetPause(c, Pause{Until: noon.Add(time.Hour), By: "alice", Reason: "storage is being moved"})
	})
	if ensure(t, k) {
		t.Error("a pause was repaired")
	}
	for name, policy := range policies(live(t, k)) {
		if policy != admissionv1.Ignore {
			t.Errorf("entry %s is %s", name, policy)
		}
	}

	// Something else is damaged while it is paused.
	update(func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks = c.Webhooks[1:] })
	if !ensure(t, k) {
		t.Error("a missing entry was not noticed")
	}
	got := live(t, k)
	if len(got.Webhooks) != len(before.Webhooks) || *got.Webhooks[0].FailurePolicy != admissionv1.Ignore || got.Annotations["holdfast.dev/paused-by"] != "alice" {
		t.Errorf("after the repair: %d entries, %s, %v", len(got.Webhooks), *got.Webhooks[0].FailurePolicy, got.Annotations)
	}

	now = noon.Add(time.Hour)
	if !ensure(t, k) {
		t.Error("the end of the pause was not noticed")
	}
	got = live(t, k)
	if diff := cmp.Diff(before.Webhooks, got.Webhooks); diff != "" {
		t.Errorf("entries after the pause (-want +got):\n%s", diff)
	}
	if len(got.Annotations) > 0 {
		t.Errorf("left behind: %v", got.Annotations)
	}
	if ensure(t, k) {
		t.Error("a second look still finds something to repair")
	}
}

func TestEnsureDoesNotHonourNonsense(t *testing.T) {
	t.Parallel()
	for _, until := range []string{"2027-01-01T00:00:00Z", "soon", "2026-01-02T11:00:00Z"} {
		k, _ := newKeeper(t)
		k.Now = func() time.Time { return noon }
		ensure(t, k)
		config := live(t, k)
		want := policies(config)
		SetPause(config, Pause{})
		config.Annotations["holdfast.dev/paused-until"] = until
		if _, err := k.configurations().Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if !ensure(t, k) {
			t.Errorf("%s: honoured", until)
		}
		if diff := cmp.Diff(want, policies(live(t, k))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", until, diff)
		}
	}
}

// A pause is ended without knowing how it was before: also by a program that
// has no profiles, and when it was prolonged in between.
func TestClearPause(t *testing.T) {
	t.Parallel()
	k, _ := newKeeper(t)
	ensure(t, k)
	config := live(t, k)
	before := config.DeepCopy()
	SetPause(config, Pause{Until: noon})
	SetPause(config, Pause{Until: noon.Add(time.Hour), By: "alice"})
	if !ClearPause(config) {
		t.Error("it was not paused")
	}
	if diff := cmp.Diff(before.Webhooks, config.Webhooks); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if len(config.Annotations) > 0 {
		t.Errorf("left behind: %v", config.Annotations)
	}
	if ClearPause(config) {
		t.Error("it is paused still")
	}
	foreign := &admissionv1.ValidatingWebhookConfiguration{Webhooks: []admissionv1.ValidatingWebhook{{Name: "a", FailurePolicy: ptr.To(admissionv1.Ignore)}}}
	ClearPause(foreign)
	if *foreign.Webhooks[0].FailurePolicy != admissionv1.Ignore {
		t.Error("what was Ignore before is Fail now")
	}
}

func TestBindingPause(t *testing.T) {
	t.Parallel()
	binding := func(actions ...admissionv1.ValidationAction) *admissionv1.ValidatingAdmissionPolicyBinding {
		return &admissionv1.ValidatingAdmissionPolicyBinding{Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{ValidationActions: actions}}
	}
	warns := binding(admissionv1.Warn, admissionv1.Audit)
	if SetBindingPause(warns, Pause{Until: noon}) || len(warns.Annotations) > 0 {
		t.Error("a binding that denies nothing was paused")
	}
	denies := binding(admissionv1.Deny)
	for range 2 { // a pause may be prolonged
		if !SetBindingPause(denies, Pause{Until: noon}) || denies.Spec.ValidationActions[0] != admissionv1.Warn || denies.Annotations["holdfast.dev/paused-until"] != "2026-01-02T12:00:00Z" {
			t.Errorf("paused: %v", denies)
		}
	}
	if !ClearBindingPause(denies) || denies.Spec.ValidationActions[0] != admissionv1.Deny || len(denies.Annotations) > 0 {
		t.Errorf("resumed: %v", denies)
	}
	if ClearBindingPause(warns) {
		t.Error("a binding that was not paused was changed")
	}
}

// The fence's binding warns until the pause is over, and is put right then; that
// of approvals goes on denying.
func TestEnsurePoliciesHonoursPause(t *testing.T) {
	t.Parallel()
	k, kube := newKeeper(t)
	k.Policies = []Policy{FencePolicy("hf"), ApprovalsPolicy()}
	now := noon
	k.Now = func() time.Time { return now }
	run := func() bool {
		t.Helper()
		repaired, err := k.EnsurePolicies(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return repaired
	}
	run()
	bindings := kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	all, err := bindings.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 3 {
		t.Fatalf("bindings: %v, %v", all, err)
	}
	for i := range all.Items {
		b := &all.Items[i]
		SetBindingPause(b, Pause{Until: noon.Add(time.Hour)})
		if _, err := bindings.Update(t.Context(), b, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	actions := func(name string) admissionv1.ValidationAction {
		t.Helper()
		b, err := bindings.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return b.Spec.ValidationActions[0]
	}
	if !run() || actions("holdfast-fence-deny") != admissionv1.Warn || actions("holdfast-approvals") != admissionv1.Deny {
		t.Errorf("while paused: fence %s, approvals %s", actions("holdfast-fence-deny"), actions("holdfast-approvals"))
	}
	if run() {
		t.Error("a second look still finds something to repair")
	}
	now = noon.Add(time.Hour)
	if !run() || actions("holdfast-fence-deny") != admissionv1.Deny {
		t.Error("the end of the pause was not noticed")
	}
}
