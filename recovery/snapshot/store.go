// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
)

const (
	fieldManager = "holdfast"
	// saveTries bounds how often a save starts over because the Secret in its
	// place was removed or found damaged meanwhile.
	saveTries = 5
)

// Store keeps snapshots as Secrets of one namespace.
type Store struct {
	kube      kubernetes.Interface
	metadata  metadata.Interface
	namespace string
	now       func() time.Time
	codec     *codec

	keyLock sync.Mutex
	key     []byte

	known known
}

// NewStore is a store in namespace, which must exist before something is saved.
func NewStore(kube kubernetes.Interface, meta metadata.Interface, namespace string, now func() time.Time) (*Store, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Store{kube: kube, metadata: meta, namespace: namespace, now: now, codec: codec}, nil
}

// Namespace is where the snapshots are.
func (s *Store) Namespace() string { return s.namespace }

// Prepare makes what the first Save would make besides its snapshot. Callers
// that answer requests do it ahead of them.
func (s *Store) Prepare(ctx context.Context) error {
	_, err := s.digestKey(ctx)
	return err
}

// ID is the ID under which Save would store obj.
func (s *Store) ID(ctx context.Context, obj *unstructured.Unstructured) (string, error) {
	key, err := s.digestKey(ctx)
	if err != nil {
		return "", err
	}
	content, err := canonical(obj)
	if err != nil {
		return "", err
	}
	return identity(key, string(obj.GetUID()), content), nil
}

// annotate sets annotations of snapshot id to the JSON of notes; nil removes one.
func (s *Store) annotate(ctx context.Context, id string, notes map[string]any) error {
	return s.annotateIf(ctx, id, "", notes)
}

// annotateIf is annotate for exactly one version of the Secret, if one is given.
func (s *Store) annotateIf(ctx context.Context, id, resourceVersion string, notes map[string]any) error {
	return s.annotateSecret(ctx, namePrefix+id, resourceVersion, notes)
}

func (s *Store) annotateSecret(ctx context.Context, name, resourceVersion string, notes map[string]any) error {
	patch, err := annotationPatch(resourceVersion, notes)
	if err != nil {
		return err
	}
	_, err = s.metadata.Resource(secretsResource()).Namespace(s.namespace).
		Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

// annotationPatch sets annotations to the JSON of notes; nil removes one. With a
// resourceVersion it is for that one only.
func annotationPatch(resourceVersion string, notes map[string]any) ([]byte, error) {
	annotations := map[string]any{}
	for name, value := range notes {
		if value == nil {
			annotations[name] = nil
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		annotations[name] = string(text)
	}
	metadata := map[string]any{"annotations": annotations}
	if resourceVersion != "" {
		metadata["resourceVersion"] = resourceVersion
	}
	return json.Marshal(map[string]any{"metadata": metadata})
}

func (s *Store) secrets() typedcorev1.SecretInterface {
	return s.kube.CoreV1().Secrets(s.namespace)
}

func secretsResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
}
