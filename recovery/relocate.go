// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// relocate moves obj to another namespace, and with it what it says of objects
// that move along: wherever it names one of them together with the namespace
// that they leave. moves tells whether an object of that name moves from there.
func relocate(obj *unstructured.Unstructured, to string, moves func(namespace, name string) bool) {
	for key, value := range obj.Object {
		if key != "metadata" {
			rename(value, to, moves)
		}
	}
	obj.SetNamespace(to)
}

func rename(value any, to string, moves func(namespace, name string) bool) {
	switch v := value.(type) {
	case map[string]any:
		name, _ := v["name"].(string)
		namespace, _ := v["namespace"].(string)
		if name != "" && namespace != "" && moves(namespace, name) {
			v["namespace"] = to
		}
		for _, inner := range v {
			rename(inner, to, moves)
		}
	case []any:
		for _, inner := range v {
			rename(inner, to, moves)
		}
	}
}
