// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package snapshottest stands for an API server in unit tests of what uses a
// snapshot store: typed and metadata-only clients over the same Secrets.
package snapshottest

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

// Clients are a typed client that holds objects, and a metadata-only client
// that reads, lists, patches and deletes its Secrets. Reactors put
// before theirs make single requests fail.
func Clients(ctx context.Context, objects ...runtime.Object) (*fake.Clientset, *metadatafake.FakeMetadataClient) {
	kube := fake.NewClientset(objects...)
	scheme := metadatafake.NewTestScheme()
	meta := metadatafake.NewSimpleMetadataClient(scheme)
	meta.PrependReactor("list", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		list, err := list(ctx, kube, action.(clienttesting.ListActionImpl))
		return true, list, err
	})
	meta.PrependReactor("get", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		get := action.(clienttesting.GetAction)
		secret, err := kube.CoreV1().Secrets(get.GetNamespace()).Get(ctx, get.GetName(), metav1.GetOptions{})
		if err != nil {
			return true, nil, err
		}
		return true, &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}, nil
	})
	meta.PrependReactor("patch", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		secret, err := kube.CoreV1().Secrets(patch.GetNamespace()).Patch(ctx, patch.GetName(), patch.GetPatchType(), patch.GetPatch(), metav1.PatchOptions{})
		if err != nil {
			return true, nil, err
		}
		return true, &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}, nil
	})
	meta.PrependReactor("delete", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		del := action.(clienttesting.DeleteActionImpl)
		secrets := kube.CoreV1().Secrets(del.GetNamespace())
		if wanted := del.GetDeleteOptions().Preconditions; wanted != nil {
			secret, err := secrets.Get(ctx, del.GetName(), metav1.GetOptions{})
			if err != nil {
				return true, nil, err
			}
			if wanted.ResourceVersion != nil && *wanted.ResourceVersion != secret.ResourceVersion || wanted.UID != nil && *wanted.UID != secret.UID {
				return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, del.GetName(), errors.New("the preconditions do not hold"))
			}
		}
		return true, nil, secrets.Delete(ctx, del.GetName(), del.GetDeleteOptions())
	})
	return kube, meta
}

// list is the Secrets that action selects, all on one page.
func list(ctx context.Context, kube *fake.Clientset, action clienttesting.ListActionImpl) (*metav1.List, error) {
	secrets, err := kube.CoreV1().Secrets(action.GetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	wanted := action.GetListRestrictions()
	page := &metav1.List{}
	for i := range secrets.Items {
		s := &secrets.Items[i]
		if !wanted.Labels.Matches(labels.Set(s.Labels)) || !wanted.Fields.Matches(fields.Set{"type": string(s.Type)}) {
			continue
		}
		page.Items = append(page.Items, runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: s.ObjectMeta,
		}})
	}
	return page, nil
}
