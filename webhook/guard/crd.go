// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// Instances answers whether objects of a definition exist, as of now.
type Instances interface {
	// Of looks for instances of crd, a CustomResourceDefinition. An error means
	// that nothing can be said about them.
	Of(ctx context.Context, crd *unstructured.Unstructured) (Existing, error)
}

// InstancesFunc is a function as Instances.
type InstancesFunc func(ctx context.Context, crd *unstructured.Unstructured) (Existing, error)

// Of calls f.
func (f InstancesFunc) Of(ctx context.Context, crd *unstructured.Unstructured) (Existing, error) {
	return f(ctx, crd)
}

// Existing is what is known of the instances of a definition.
type Existing struct {
	// Total counts them; More says that there are more than were counted.
	Total int
	More  bool
	// Namespaces are those that were found to hold some, sorted; none for a
	// cluster-scoped resource.
	Namespaces []string
	// Unreadable says why instances, if there are any, cannot be read in any
	// version; they count as existing.
	Unreadable string
}

// CRD refuses the deletion of a definition that has instances. The API server
// deletes these straight in its storage and asks nobody about them.
type CRD struct {
	Instances Instances
	Profiles  *profile.Set
}

// Check implements Rule.
func (c CRD) Check(ctx context.Context, r Request) (Verdict, error) {
	if r.Guarded.Resource != profile.CRDResource() {
		return Verdict{}, nil
	}
	crd, ok := c.Profiles.CRD(r.Old.GetName())
	if !ok || !crd.Block {
		return Verdict{}, nil
	}
	target := r.Target()
	existing, err := c.Instances.Of(ctx, r.Old)
	if err != nil {
		return Verdict{}, fmt.Errorf("look for instances of %s: %w", target, err)
	}
	if existing.Total == 0 && existing.Unreadable == "" {
		return Verdict{}, nil
	}
	v := Verdict{Denied: true, Rule: "crd", Message: c.message(target, existing)}
	for _, namespace := range existing.Namespaces[:min(len(existing.Namespaces), shown)] {
		v.Causes = append(v.Causes, Cause{Object: "namespace " + namespace})
	}
	return v, nil
}

func (c CRD) message(target Target, existing Existing) string {
	if existing.Total == 0 {
		return fmt.Sprintf("the instances of %s cannot be read in any version (%s), so they count as existing, and would all be deleted with it, without their operator being asked. It was not deleted. "+
			"First make them readable: bring the operator's conversion webhook back, or set spec.conversion to {strategy: None}. %s",
			target, strings.TrimSuffix(existing.Unreadable, "."), closing(target, v1alpha1.OperationDelete))
	}
	total := count(existing.Total, "instance")
	if existing.More {
		total = fmt.Sprintf("more than %d instances", existing.Total)
	}
	all := "all of them, without asking anybody"
	if existing.Total == 1 && !existing.More {
		all = "it, without asking anybody"
	}
	return fmt.Sprintf("%s has %s%s, and its deletion would delete %s. It was not deleted. First delete the instances, then it again; list them with: kubectl get %s%s. %s",
		target, total, among(existing.Namespaces), all, target.Name, allNamespaces(existing.Namespaces), closing(target, v1alpha1.OperationDelete))
}

// among names the first namespaces and counts the others.
func among(namespaces []string) string {
	switch n := len(namespaces); {
	case n == 0:
		return ""
	case n == 1:
		return " in namespace " + namespaces[0]
	case n <= shown:
		return " in namespaces " + strings.Join(namespaces, ", ")
	default:
		return fmt.Sprintf(" in namespaces %s and %d more", strings.Join(namespaces[:shown], ", "), n-shown)
	}
}

func allNamespaces(namespaces []string) string {
	if len(namespaces) == 0 {
		return ""
	}
	return " -A"
}
