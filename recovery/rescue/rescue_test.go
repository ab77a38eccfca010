// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
)

var noon = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

// object is an object of JSON.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// newRescue is a rescue in a cluster with these objects.
func newRescue(t *testing.T, objects ...runtime.Object) *Rescue {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{definitions: "CustomResourceDefinitionList", Astartes().WithVersion("v1alpha2"): "AstarteList"}
	for _, gvr := range configurations() {
		kinds[gvr] = "List"
	}
	kube := kubefake.NewClientset()
	kube.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "holdfast-system")
	})
	return &Rescue{
		Recovery: &recovery.Recovery{Client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...), Now: time.Now},
		Journals: &journal.Keeper{Kube: kube, Namespace: "holdfast-system", Dir: t.TempDir(), Self: journal.Self("alice"), Now: time.Now},
		Tell:     func(Event) {},
	}
}

const (
	terminatingAstarte = `{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"Astarte","metadata":{"name":"one","namespace":"ns","uid":"u-1",
		"resourceVersion":"7","generation":3,"deletionTimestamp":"2026-03-03T12:00:00Z","finalizers":["astarte.astarte-platform.org/finalizer","orphan"],
		"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"u-9"}]},"spec":{"version":"1.0"},"status":{"astarteVersion":"1.0"}}`
	hooks = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"%"},
		"webhooks":[{"name":"vastarte.kb.io","failurePolicy":"Fail"},{"name":"other.kb.io","failurePolicy":"Ignore"}]}`
)

func TestItIsCreatedInMaintenanceMode(t *testing.T) {
	t.Parallel()
	p := &patient{Object: object(t, terminatingAstarte)}
	obj, status := p.again()
	want := map[string]any{
		"apiVersion": "api.astarte-platform.org/v1alpha2", "kind": "Astarte",
		"metadata": map[string]any{"name": "one", "namespace": "ns", "finalizers": []any{"astarte.astarte-platform.org/finalizer"}},
		"spec":     map[string]any{"version": "1.0", "manualMaintenanceMode": true},
	}
	if diff := cmp.Diff(want, obj.Object); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"astarteVersion": "1.0"}, status); diff != "" {
		t.Error(diff)
	}
	if _, frozen := p.Object.Object["spec"].(map[string]any)["manualMaintenanceMode"]; frozen {
		t.Error("what is remembered was changed")
	}
}

func TestOnlyItsOwnWorkIsTakenForItsOwn(t *testing.T) {
	t.Parallel()
	made := `"managedFields":[{"manager":"holdfast","operation":"Update"}]`
	for name, tc := range map[string]struct{ metadata, want string }{
		"created by it":           {`"uid":"u-2",` + made, ""},
		"the old one":             {`"uid":"u-1","deletionTimestamp":"2026-03-03T12:00:00Z",` + made, "is there and Terminating (UID u-1)"},
		"created by somebody":     {`"uid":"u-3","creationTimestamp":"2026-03-03T12:00:00Z"`, "somebody else has created an Astarte of its name meanwhile (UID u-3, at 2026-03-03T12:00:00Z), perhaps with new keys; it is not touched"},
		"only its status is ours": {`"uid":"u-3","managedFields":[{"manager":"holdfast","operation":"Update","subresource":"status"}]`, "somebody else has created"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := object(t, `{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"Astarte","metadata":{"name":"one","namespace":"ns",`+tc.metadata+`}}`)
			r := newRescue(t, live)
			_, err := r.remade(t.Context(), &patient{Namespace: "ns", Name: "one", UID: "u-1", Object: object(t, terminatingAstarte)})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAWebhookInTheWayIsPutBackAsItWas(t *testing.T) {
	t.Parallel()
	r := newRescue(t, object(t, strings.Replace(hooks, "%", "operator", 1)), object(t, strings.Replace(hooks, "%", "holdfast", 1)))
	j, ctx, err := r.Journals.Open(t.Context(), Operation, "x", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Leave(context.WithoutCancel(t.Context())) })
	policies := func(name string) string {
		live, err := r.Recovery.Client.Resource(configurations()[0]).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found := policiesOf(live)
		return found["vastarte.kb.io"] + " " + found["other.kb.io"]
	}
	if found, err := r.disarm(ctx, j, "freeze", "vastarte.kb.io"); !found || err != nil {
		t.Fatalf("disarm = %t, %v", found, err)
	}
	if got := policies("operator"); got != "Ignore Ignore" {
		t.Errorf("policies = %s, want both ignored", got)
	}
	if got := policies("holdfast"); got != "Fail Ignore" {
		t.Errorf("policies of Holdfast = %s, want them untouched", got)
	}
	if found, err := r.disarm(ctx, j, "freeze", "unknown.kb.io"); found || err != nil {
		t.Errorf("of an unknown webhook: %t, %v", found, err)
	}
	if err := r.putBack(ctx, j); err != nil {
		t.Fatal(err)
	}
	if got := policies("operator"); got != "Fail Ignore" {
		t.Errorf("policies = %s, want them as they were", got)
	}
	if left := j.Aside(); len(left) != 0 {
		t.Errorf("still aside: %+v", left)
	}
}

func TestWaitingInVainSaysForWhat(t *testing.T) {
	t.Parallel()
	r := newRescue(t)
	now := noon
	r.Recovery.Now = func() time.Time { now = now.Add(2 * time.Second); return now }
	var told []Event
	r.Tell = func(e Event) { told = append(told, e) }
	err := r.wait(t.Context(), pending{step: "s", what: "the moon", limit: 5 * time.Second, ready: func(context.Context) (bool, string, error) { return false, "it is new", nil }})
	if !errors.Is(err, errInVain) || err.Error() != "waited 6s for the moon in vain: it is new; run the command again when that is mended" {
		t.Errorf("error = %v", err)
	}
	if len(told) == 0 || told[0].Text != "the moon: it is new" || told[0].Waited != 2*time.Second {
		t.Errorf("told %+v", told)
	}
}

func TestUnready(t *testing.T) {
	t.Parallel()
	established := apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}}
	webhook := func(client apiextensionsv1.WebhookClientConfig) apiextensionsv1.CustomResourceDefinitionSpec {
		return apiextensionsv1.CustomResourceDefinitionSpec{Conversion: &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter, Webhook: &apiextensionsv1.WebhookConversion{ClientConfig: &client}}}
	}
	for name, tc := range map[string]struct {
		crd  *apiextensionsv1.CustomResourceDefinition
		want string
	}{
		"none":                   {nil, "does not exist"},
		"going":                  {&apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: noon}}, Status: established}, "is Terminating"},
		"new":                    {&apiextensionsv1.CustomResourceDefinition{}, "is not established yet"},
		"without certificate":    {&apiextensionsv1.CustomResourceDefinition{Spec: webhook(apiextensionsv1.WebhookClientConfig{Service: &apiextensionsv1.ServiceReference{}}), Status: established}, "has no caBundle"},
		"with certificate":       {&apiextensionsv1.CustomResourceDefinition{Spec: webhook(apiextensionsv1.WebhookClientConfig{Service: &apiextensionsv1.ServiceReference{}, CABundle: []byte("x")}), Status: established}, ""},
		"without any conversion": {&apiextensionsv1.CustomResourceDefinition{Status: established}, ""},
	} {
		if got := unready(tc.crd); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestThePlanSaysWhatWillBe(t *testing.T) {
	t.Parallel()
	p := &patient{Namespace: "ns", Name: "one", Object: object(t, terminatingAstarte), Dependents: make([]recovery.Dependent, 40), Referrers: []string{"abc"}}
	item := itemOf(&ward{Going: true, Release: release.Key{Namespace: "ops", Name: "shop"}}, p, []string{"bring back the operator"})
	want := []string{
		"save it and its Secrets as they are now",
		"freeze it (spec.manualMaintenanceMode: true), so that no operator finalizes it",
		"delete it once more with the policy Orphan, and wait until none of the 40 objects that belong to it names it as its owner",
		"remove its finalizers (astarte.astarte-platform.org/finalizer, orphan), with which it goes; this cannot be taken back",
		"wait until its definition is gone",
		"bring back the operator",
		"wait until the definition is established and the operator's webhooks answer, which a creation without effect proves",
		"create it again in maintenance mode and replay its status",
		"set spec.manualMaintenanceMode back to not set",
		"check that each of the 40 objects has the UID that it had",
		"create again what exposes it and runs in it, with its own keys first, from snapshots abc",
	}
	if diff := cmp.Diff(want, item.Steps); diff != "" {
		t.Error(diff)
	}
	if len(item.Warnings) > 0 {
		t.Errorf("warnings: %v", item.Warnings)
	}
	if item = itemOf(&ward{}, &patient{Object: p.Object, Mode: json.RawMessage("true")}, nil); len(item.Warnings) != 2 || item.Steps[6] != "set spec.manualMaintenanceMode back to true" {
		t.Errorf("of another: %v, %v", item.Steps, item.Warnings)
	}
}

func TestWhatIsWellIsLeftAlone(t *testing.T) {
	t.Parallel()
	crd := object(t, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"astartes.api.astarte-platform.org","uid":"d-1"},
		"spec":{"versions":[{"name":"v1alpha2","served":true,"storage":true}]}}`)
	well := object(t, `{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"Astarte","metadata":{"name":"well","namespace":"ns","uid":"u-5"}}`)
	r := newRescue(t, crd, well)
	for name, want := range map[string]error{"well": ErrNotTerminating, "nobody": ErrGone} {
		_, err := r.admit(t.Context(), []types.NamespacedName{{Namespace: "ns", Name: name}})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	r = newRescue(t)
	if _, err := r.admit(t.Context(), []types.NamespacedName{{Namespace: "ns", Name: "well"}}); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "not even its definition does") {
		t.Errorf("without a definition: %v", err)
	}
}

func TestAStaleRescueMakesWay(t *testing.T) {
	t.Parallel()
	crd := object(t, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"astartes.api.astarte-platform.org","uid":"d-1"},
		"spec":{"versions":[{"name":"v1alpha2","served":true,"storage":true}]}}`)
	there := newRescue(t, crd, object(t, terminatingAstarte))
	gone := newRescue(t, crd)
	w := &ward{Patients: []*patient{{Namespace: "ns", Name: "one", UID: "u-1"}}}
	frozen, stripped := &journal.State{Steps: []journal.Step{{Name: "freeze ns/one"}}}, &journal.State{Steps: []journal.Step{{Name: "strip ns/one"}}}
	for name, tc := range map[string]struct {
		r     *Rescue
		state *journal.State
		want  bool
	}{
		"frozen, and there":  {there, frozen, false},
		"frozen, and gone":   {gone, frozen, true},
		"gone by the rescue": {gone, stripped, false},
	} {
		if got, err := tc.r.stale(t.Context(), tc.state, w); got != tc.want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}

func TestAstarteOf(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{`{"astarte":"one"}`: "one", `{"astarte":{"name":"one"}}`: "one", `{"astarte":7}`: "", `{}`: ""} {
		if got := astarteOf(object(t, `{"kind":"X","spec":`+spec+`}`)); got != want {
			t.Errorf("of %s: %q, want %q", spec, got, want)
		}
	}
}
