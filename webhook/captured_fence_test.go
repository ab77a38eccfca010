// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"

	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// fenceCase is what the API server itself answers by the policy of the fence.
type fenceCase struct {
	Name string
	// Fenced are the targets of the one fence; Opened objects of it may go.
	Fenced, Opened []string
	Refused        bool
}

// The captured reviews, as the policy of the fence judges them.
func TestCapturedReviewsAtTheFence(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, file := range files {
		body, want := readReview(t, file)
		for _, c := range append(want.Fence, fenceCase{Name: "nothing is fenced"}) {
			judged++
			t.Run(filepath.Base(file)+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				var fences []registration.Fence
				if len(c.Fenced) > 0 {
					fences = append(fences, registration.Fence{ID: "it", Targets: c.Fenced, Opened: c.Opened, Text: "fenced"})
				}
				if got := refusedByFence(t, body, registration.FenceParameters(fences)); got != c.Refused {
					t.Errorf("refused %v, want %v", got, c.Refused)
				}
			})
		}
	}
	if judged < len(files)+8 {
		t.Errorf("only %d cases", judged)
	}
}

// refusedByFence evaluates the policy as the API server does.
func refusedByFence(t *testing.T, body []byte, parameters map[string]string) bool {
	t.Helper()
	var review struct{ Request map[string]any }
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	operation, _ := review.Request["operation"].(string)
	resource, _ := review.Request["resource"].(map[string]any)
	_, sub := review.Request["subResource"]
	if sub || operation != "DELETE" && (operation != "UPDATE" || resource["group"] != "" || resource["resource"] != "secrets") {
		return false // its rules do not take it
	}
	data := map[string]any{}
	for key, value := range parameters {
		data[key] = value
	}
	variables := map[string]any{}
	input := map[string]any{
		"request": review.Request, "object": review.Request["object"], "oldObject": review.Request["oldObject"],
		"params": map[string]any{"data": data}, "variables": variables,
	}
	spec := registration.FencePolicy("holdfast-system").Policy.Spec
	for _, c := range spec.MatchConditions {
		if evaluate(t, c.Expression, input) != true {
			return false
		}
	}
	for _, v := range spec.Variables {
		variables[v.Name] = evaluate(t, v.Expression, input)
	}
	return evaluate(t, spec.Validations[0].Expression, input) != true
}

func evaluate(t *testing.T, expression string, input map[string]any) any {
	t.Helper()
	env, err := cel.NewEnv(cel.OptionalTypes(), ext.Strings(), cel.Variable("request", cel.DynType), cel.Variable("object", cel.DynType),
		cel.Variable("oldObject", cel.DynType), cel.Variable("params", cel.DynType), cel.Variable("variables", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		t.Fatalf("%s: %v", expression, issues.Err())
	}
	program, err := env.Program(ast)
	if err != nil {
		t.Fatal(err)
	}
	value, _, err := program.Eval(input)
	if err != nil {
		t.Fatalf("%s: the API server would refuse the request: %v", expression, err)
	}
	return value.Value()
}
