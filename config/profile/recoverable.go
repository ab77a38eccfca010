// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Recovery is whether an object could be brought back after its deletion.
type Recovery string

const (
	// RecoveryYes means that nothing would be lost.
	RecoveryYes Recovery = "yes"
	// RecoveryPartly means that the object could be brought back without
	// something that goes with it.
	RecoveryPartly Recovery = "partly"
	// RecoveryNo means that what matters would be lost.
	RecoveryNo Recovery = "no"
)

// Recoverability is the answer to "could it be recovered from?".
type Recoverability struct {
	Recovery Recovery
	// Because are the reasons why not, in the order of the profile; then those
	// why only partly, sorted.
	Because []string
}

// String says it in words, such as "partly, because Secrets of namespace a may
// not be read".
func (r Recoverability) String() string {
	if len(r.Because) == 0 {
		return string(r.Recovery)
	}
	return string(r.Recovery) + ", because " + strings.Join(r.Because, "; ")
}

// With adds the reasons why an object could be brought back only partly.
func (r Recoverability) With(partly []string) Recoverability {
	if len(partly) == 0 {
		return r
	}
	if r.Recovery == RecoveryYes {
		r.Recovery = RecoveryPartly
	}
	r.Because = append(slices.Clone(r.Because), partly...)
	return r
}

// condition is one compiled reason.
type condition struct {
	unless  cel.Program
	because string
}

// recoverableEnv is what conditions may use.
func recoverableEnv() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("object", cel.DynType), cel.OptionalTypes())
}

func newConditions(all []v1alpha1.Recoverability) ([]condition, error) {
	if len(all) == 0 {
		return nil, nil
	}
	env, err := recoverableEnv()
	if err != nil {
		return nil, err
	}
	var conditions []condition
	for _, r := range all {
		ast, issues := env.Compile(r.Unless)
		if issues.Err() != nil {
			return nil, fmt.Errorf("compile condition %q: %w", r.Unless, issues.Err())
		}
		program, err := env.Program(ast, cel.CostLimit(100_000))
		if err != nil {
			return nil, fmt.Errorf("compile condition %q: %w", r.Unless, err)
		}
		conditions = append(conditions, condition{unless: program, because: r.Because})
	}
	return conditions, nil
}

// Recoverable tells whether object, one of the guarded resource, could be
// brought back after its deletion if all that belongs to it were saved: yes or
// no, by the conditions of its profile. An error means that there is no telling.
func (g *Guarded) Recoverable(object *unstructured.Unstructured) (Recoverability, error) {
	answer := Recoverability{Recovery: RecoveryYes}
	for _, c := range g.conditions {
		value, _, err := c.unless.Eval(map[string]any{"object": object.Object})
		if err != nil {
			return Recoverability{}, fmt.Errorf("find out whether %q: %w", c.because, err)
		}
		holds, ok := value.Value().(bool)
		if !ok {
			return Recoverability{}, fmt.Errorf("find out whether %q: the condition is a %s, not true or false", c.because, value.Type().TypeName())
		}
		if !holds {
			answer.Recovery = RecoveryNo
			answer.Because = append(answer.Because, c.because)
		}
	}
	return answer, nil
}
