// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// noise is n bytes that do not compress, the same each time.
func noise(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = source.Read(data)
	return data
}

// unlessGone is err, but for that of an object that is gone.
func unlessGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// object is an unstructured object of that kind.
func object(apiVersion, kind, name string, fields map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}}}
	for field, value := range fields {
		o.Object[field] = value
	}
	return o
}

var _ = Describe("What is large or has an odd name", func() {
	bigCRD := func() *unstructured.Unstructured {
		properties := map[string]any{}
		// Just below what etcd takes, with what the API server adds.
		for i := range 100 {
			properties[fmt.Sprintf("property%d", i)] = map[string]any{"type": "string", "description": strings.Repeat(fmt.Sprintf("what property %d is for; ", i), 700)[:15_000]}
		}
		return object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "larges.store.example", map[string]any{"spec": map[string]any{
			"group": "store.example", "scope": "Namespaced", "names": map[string]any{"kind": "Large", "plural": "larges", "singular": "large"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": properties}}}},
		}})
	}
	for what, c := range map[string]struct {
		gvr    schema.GroupVersionResource
		object func() *unstructured.Unstructured
		global bool
		atomic bool // it fits into one Secret
	}{
		"a definition of 1.5 MB": {
			gvr:    schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
			object: bigCRD, global: true, atomic: true,
		},
		"a Secret of 1 MiB of random bytes": {
			gvr: secrets(),
			object: func() *unstructured.Unstructured {
				return object("v1", "Secret", "big", map[string]any{"data": map[string]any{"key": base64.StdEncoding.EncodeToString(noise(1<<20 - 100))}})
			},
		},
		"a custom resource of 1.4 MiB": {
			gvr: notes(),
			object: func() *unstructured.Unstructured {
				return object("store.example/v1", "Note", "big", map[string]any{"spec": map[string]any{"text": base64.StdEncoding.EncodeToString(noise(1050 << 10))}})
			},
		},
		"a name of 253 bytes": {
			gvr: notes(), atomic: true,
			object: func() *unstructured.Unstructured {
				return object("store.example/v1", "Note", strings.Repeat("n", 253), map[string]any{"spec": map[string]any{"float": 1.5, "big": int64(1) << 62, "text": "<&>\u2028"}})
			},
		},
		"a ClusterRole with colons in its name": {
			gvr:    schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
			global: true, atomic: true,
			object: func() *unstructured.Unstructured {
				return object("rbac.authorization.k8s.io/v1", "ClusterRole", "system:store:reader", map[string]any{"rules": []any{}})
			},
		},
	} {
		It("comes back byte for byte: "+what, func(ctx SpecContext) {
			namespace := ""
			if !c.global {
				namespace = must.Namespace(ctx, admin, "team")
			}
			api := client.Resource(c.gvr).Namespace(namespace)
			made, err := api.Create(ctx, c.object(), metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			gr := c.gvr.GroupResource()
			if c.gvr.Resource == "customresourcedefinitions" {
				raw, err := made.MarshalJSON()
				Expect(err).NotTo(HaveOccurred())
				Expect(len(raw)).To(BeNumerically(">", 1_500_000))
				_, err = store.Save(ctx, gr, made, snapshot.Provenance{Operation: "delete", Raw: raw})
				Expect(err).NotTo(HaveOccurred())
			}
			// On a busy machine it takes longer than an answer may; then it is refused.
			Eventually(func() error {
				return unlessGone(api.Delete(ctx, made.GetName(), metav1.DeleteOptions{}))
			}).Should(Succeed())
			records := saved(ctx, made)
			Expect(records).To(HaveLen(1))
			Expect(len(records[0].Chunks) == 0).To(Equal(c.atomic), "%d bytes in parts %v", records[0].Stored, records[0].Chunks)
			snap, err := store.Get(ctx, records[0].ID)
			Expect(err).NotTo(HaveOccurred())
			want, err := made.MarshalJSON()
			Expect(err).NotTo(HaveOccurred())
			got, err := snap.Object.MarshalJSON()
			Expect(err).NotTo(HaveOccurred())
			Expect(bytes.Equal(want, got)).To(BeTrue(), "what was saved differs from what was there")
			again := &unstructured.Unstructured{}
			Expect(again.UnmarshalJSON(snap.Raw)).To(Succeed())
			if c.gvr.Resource == "customresourcedefinitions" {
				return
			}
			must.Succeed(admin.Holdfast(ctx, "recovery", "restore", records[0].ID, "--yes"))
			back, err := api.Get(ctx, made.GetName(), metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			for _, field := range []string{"spec", "data", "rules"} {
				if value, has := made.Object[field]; has && value != nil {
					Expect(back.Object[field]).To(Equal(value), field)
				}
			}
		})
	}
})
