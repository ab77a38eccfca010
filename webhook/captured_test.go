// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// verdicts stand beside a captured review: which entry the API server sends it
// to, and what it is answered, by what the cluster holds.
type verdicts struct {
	// Holding are the namespaces that are known to hold guarded objects.
	Holding []string
	SentTo  []string
	// Fence is what the API server itself answers before it asks anybody.
	Fence []fenceCase
	Cases []struct {
		Name    string
		Cluster state
		Want    verdict
	}
}

// state is what the rules find out.
type state struct {
	Referrers  int      // of the object
	Instances  int      // of the definition
	Unreadable string   // why those cannot be read
	Holds      []string // the tiers in the namespace
	Fault      string   // why nothing can be found out
	StoreFault string   // why nothing can be saved
}

type verdict struct {
	Allowed bool
	Rule    string
	Code    int32 // of a refusal
	Saved   int
	Says    string
}

// use, existing and contents are what the rules find out.
func (s state) use(context.Context, guard.Target, int) (guard.Use, error) {
	if s.Fault != "" {
		return guard.Use{}, errors.New(s.Fault)
	}
	use := guard.Use{Total: s.Referrers}
	for i := range min(s.Referrers, 3) {
		use.First = append(use.First, guard.Referrer{Kind: "Database", Namespace: "tenant", Name: fmt.Sprintf("db-%d", i+1)})
	}
	return use, nil
}

func (s state) existing(context.Context, *unstructured.Unstructured) (guard.Existing, error) {
	if s.Fault != "" {
		return guard.Existing{}, errors.New(s.Fault)
	}
	return guard.Existing{Total: s.Instances, Unreadable: s.Unreadable}, nil
}

func (s state) contents(_ context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error) {
	if s.Fault != "" {
		return nil, errors.New(s.Fault)
	}
	if guarded.Resource.Resource != "servicetiers" {
		return nil, nil
	}
	var objects []*unstructured.Unstructured
	for _, name := range s.Holds {
		objects = append(objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
			"metadata": map[string]any{"name": name, "namespace": namespace, "uid": "u-" + name},
		}})
	}
	return objects, nil
}

// Reviews as a real API server sent them, the built-in profile nuodb, and all rules.
func TestCapturedReviews(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("captured reviews are missing: %v, %v", files, err)
	}
	builtin, err := profile.Builtin("nuodb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(builtin)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			body, want := readReview(t, file)
			config := registration.Build(set, registration.Options{Namespace: "holdfast-system", ServiceName: "holdfast", Holding: want.Holding})
			if diff := cmp.Diff(want.SentTo, sentTo(t, config, body)); diff != "" {
				t.Errorf("sent to (-want +got):\n%s", diff)
			}
			for _, tc := range want.Cases {
				t.Run(tc.Name, func(t *testing.T) {
					t.Parallel()
					judgeReview(t, set, body, tc.Cluster, tc.Want)
				})
			}
		})
	}
}

func readReview(t *testing.T, file string) ([]byte, verdicts) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".verdict.yaml")
	if err != nil {
		t.Fatalf("no verdict is written down beside this review: %v", err)
	}
	var want verdicts
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		t.Fatal(err)
	}
	if len(want.Cases) == 0 {
		t.Fatal("no case is written down beside this review")
	}
	return body, want
}

func judgeReview(t *testing.T, set *profile.Set, body []byte, s state, want verdict) {
	t.Helper()
	store := &saves{}
	if s.StoreFault != "" {
		store.err = errors.New(s.StoreFault)
	}
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	inUse := guard.InUse{Usage: guard.UsageFunc(s.use), Profiles: set}
	contents := guard.ContentsFunc(s.contents)
	use := []guard.Rule{
		inUse,
		guard.CRD{Instances: guard.InstancesFunc(s.existing), Profiles: set},
		guard.Namespace{Contents: contents, InUse: inUse, Profiles: set},
	}
	h := &Handler{
		Profiles: set, Snapshots: store, Contents: contents, Metrics: metrics, Timeout: time.Minute,
		Rules: append(use, guard.Recoverable{}), Finalizers: guard.Finalizers{Profiles: set, Use: use},
	}
	answer := post(t, h, string(body), "")
	got := verdict{Allowed: answer.Allowed, Rule: answer.AuditAnnotations["rule"], Saved: len(store.seen), Says: want.Says}
	if !answer.Allowed {
		got.Code = answer.Result.Code
	}
	if !strings.Contains(answer.Result.Message, want.Says) {
		got.Says = answer.Result.Message
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// sentTo are the entries of config that the API server would ask about a review.
func sentTo(t *testing.T, config *admissionregistrationv1.ValidatingWebhookConfiguration, body []byte) []string {
	t.Helper()
	var review admissionv1.AdmissionReview
	var raw struct{ Request map[string]any }
	if err := errors.Join(json.Unmarshal(body, &review), json.Unmarshal(body, &raw)); err != nil {
		t.Fatal(err)
	}
	entries := []string{}
	for _, w := range config.Webhooks {
		if slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool { return ruleTakes(r, review.Request) }) &&
			namespaceTakes(t, w.NamespaceSelector, review.Request) && conditionsHold(t, w.MatchConditions, raw.Request) {
			entries = append(entries, w.Name)
		}
	}
	return entries
}

// namespaceTakes says that selector takes the namespace of req, whose only label
// is its name; a cluster-scoped object has none and is taken by every selector.
func namespaceTakes(t *testing.T, selector *metav1.LabelSelector, req *admissionv1.AdmissionRequest) bool {
	t.Helper()
	if req.Namespace == "" {
		return true
	}
	takes, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return takes.Matches(labels.Set{"kubernetes.io/metadata.name": req.Namespace})
}

func ruleTakes(r admissionregistrationv1.RuleWithOperations, req *admissionv1.AdmissionRequest) bool {
	resource := req.Resource.Resource
	if req.SubResource != "" {
		resource += "/" + req.SubResource
	}
	takes := func(list []string, one string) bool { return slices.Contains(list, one) || slices.Contains(list, "*") }
	return takes(r.APIGroups, req.Resource.Group) && (takes(r.Resources, resource) || slices.Contains(r.Resources, "*/*")) &&
		slices.ContainsFunc(r.Operations, func(o admissionregistrationv1.OperationType) bool {
			return o == admissionregistrationv1.OperationAll || string(o) == string(req.Operation)
		})
}

// conditionsHold evaluates match conditions as the API server does.
func conditionsHold(t *testing.T, conditions []admissionregistrationv1.MatchCondition, request map[string]any) bool {
	t.Helper()
	env, err := cel.NewEnv(cel.OptionalTypes(), cel.Variable("request", cel.DynType), cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		ast, issues := env.Compile(c.Expression)
		if issues.Err() != nil {
			t.Fatalf("condition %s: %v", c.Name, issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := program.Eval(map[string]any{"request": request, "object": request["object"], "oldObject": request["oldObject"]})
		if err != nil {
			t.Fatalf("condition %s: the API server would reject the request: %v", c.Name, err)
		}
		if value.Value() != true {
			return false
		}
	}
	return true
}
