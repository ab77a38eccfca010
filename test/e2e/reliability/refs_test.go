// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ref is one reference, read without the product's code.
type ref struct {
	resource        string // that it leads to
	namespace, name string
	// stored is the older revision of the object that holds it, if it is not
	// the current spec.
	stored string
	// pinned is the revision of a tier that the current spec pins.
	pinned string
}

// refsOf lists what o refers to.
func refsOf(o *unstructured.Unstructured) []ref {
	refs := specRefs(o.GetKind(), o.GetNamespace(), o.Object["spec"], "")
	for _, r := range storedIn(o) {
		refs = append(refs, specRefs(o.GetKind(), o.GetNamespace(), r.spec, r.number)...)
	}
	return refs
}

func specRefs(kind, namespace string, spec any, stored string) (refs []ref) {
	add := func(resource string, value any) {
		fields, ok := value.(map[string]any)
		if !ok {
			return
		}
		r := ref{resource: resource, namespace: namespace, stored: stored}
		r.name, _ = fields["name"].(string)
		if other, ok := fields["namespace"].(string); ok {
			r.namespace = other
		}
		if resource == "servicetiers" {
			r.pinned, _ = fields["revision"].(string)
		}
		refs = append(refs, r)
	}
	fields, _ := spec.(map[string]any)
	switch kind {
	case "ServiceTier":
		features, _, _ := unstructured.NestedSlice(fields, "features")
		for _, f := range features {
			add("helmfeatures", f)
		}
	case "Domain", "Database":
		tier, _, _ := unstructured.NestedMap(fields, "type", "tierRef")
		add("servicetiers", tier)
		features, _, _ := unstructured.NestedSlice(tier, "featureOverrides")
		for _, f := range features {
			add("helmfeatures", f)
		}
	}
	return refs
}

// stored is a spec that an object keeps in its status.
type stored struct {
	number string
	spec   map[string]any
}

func storedIn(o *unstructured.Unstructured) (all []stored) {
	revisions, _, _ := unstructured.NestedSlice(o.Object, "status", "history", "revisions")
	for _, value := range revisions {
		fields, ok := value.(map[string]any)
		Expect(ok).To(BeTrue())
		text, err := base64.StdEncoding.DecodeString(fmt.Sprint(fields["spec"]))
		Expect(err).NotTo(HaveOccurred())
		s := stored{number: fmt.Sprint(fields["generation"])}
		Expect(json.Unmarshal(text, &s.spec)).To(Succeed())
		all = append(all, s)
	}
	return all
}
