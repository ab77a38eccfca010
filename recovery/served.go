// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// served is the resource of a snapshot in the version it was saved in, or why
// there is none.
func (r *Recovery) served(ctx context.Context, snap *snapshot.Snapshot) (*meta.RESTMapping, string, error) {
	gv, err := schema.ParseGroupVersion(snap.APIVersion)
	if err != nil {
		return nil, fmt.Sprintf("its apiVersion %q is none", snap.APIVersion), nil //nolint:nilerr // the problem is the snapshot's
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: snap.Kind}
	mapping, err := r.Mapper.RESTMappingWithContext(ctx, kind, gv.Version)
	if err == nil {
		return mapping, "", nil
	}
	if !meta.IsNoMatchError(err) {
		return nil, "", err
	}
	others, err := r.Mapper.RESTMappingsWithContext(ctx, kind)
	if meta.IsNoMatchError(err) || (err == nil && len(others) == 0) {
		return nil, fmt.Sprintf("the cluster has no resource %s (its CustomResourceDefinition is missing); install that first%s", snap.Resource, r.savedDefinition(ctx, snap.Resource)), nil
	}
	if err != nil {
		return nil, "", err
	}
	if converted := r.converts(ctx, snap, others); converted != nil {
		return converted, "", nil
	}
	var versions []string
	for _, m := range others {
		versions = append(versions, m.GroupVersionKind.Version)
	}
	return nil, fmt.Sprintf("the cluster serves %s no longer in version %s, only in %s; serve that version again in its CustomResourceDefinition, or create it by hand from 'holdfast recovery show %s'",
		snap.Resource, gv.Version, strings.Join(versions, ", "), snap.ID), nil
}

// savedDefinition is how the definition of a resource comes back, if it is saved.
func (r *Recovery) savedDefinition(ctx context.Context, resource string) string {
	records, err := r.Snapshots.Find(ctx, definitionsResource().GroupResource(), "", resource)
	if err != nil {
		return "" // without this the refusal is still right
	}
	for i := range records {
		if records[i].Problem == "" {
			return ", with its operator or by 'holdfast recovery restore " + records[i].ID + "'"
		}
	}
	return ""
}

// converts is a mapping of a version that is served, if the API server itself
// would turn the saved version into it by changing nothing but the apiVersion:
// the definition still knows the saved version and converts without a webhook.
func (r *Recovery) converts(ctx context.Context, snap *snapshot.Snapshot, served []*meta.RESTMapping) *meta.RESTMapping {
	gv, err := schema.ParseGroupVersion(snap.APIVersion)
	if err != nil {
		return nil
	}
	crd, err := r.Client.Resource(definitionsResource()).Get(ctx, snap.Resource, metav1.GetOptions{})
	if err != nil {
		return nil // the refusal says what to do, whatever the reason
	}
	strategy, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy")
	if strategy != "" && strategy != "None" {
		return nil
	}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	known := slices.ContainsFunc(versions, func(v any) bool {
		version, ok := v.(map[string]any)
		return ok && version["name"] == gv.Version
	})
	if !known {
		return nil
	}
	return served[0]
}

func definitionsResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

func isDefinition(resource string) bool {
	return resource == definitionsResource().GroupResource().String()
}

// condition says that a condition of obj is True.
func condition(obj *unstructured.Unstructured, kind string) bool {
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	return slices.ContainsFunc(list, func(c any) bool {
		one, ok := c.(map[string]any)
		return ok && one["type"] == kind && one["status"] == "True"
	})
}

// waitServed waits until the API server serves the kind of snap, and gives its
// mapping; what the definition's own controllers do takes a moment.
func (r *Recovery) waitServed(ctx context.Context, snap *snapshot.Snapshot) (mapping *meta.RESTMapping, err error) {
	problem := ""
	err = r.await(ctx, "the API server to serve "+snap.Resource, func(ctx context.Context) (bool, error) {
		meta.MaybeResetRESTMapperWithContext(ctx, r.Mapper)
		mapping, problem, err = r.served(ctx, snap)
		return problem == "" && err == nil, err
	})
	if problem != "" {
		return nil, fmt.Errorf("%s", problem)
	}
	return mapping, err
}

// waitEstablished waits until the API server has taken up a definition.
func (r *Recovery) waitEstablished(ctx context.Context, name string) error {
	err := r.await(ctx, "definition "+name+" to be established", func(ctx context.Context) (bool, error) {
		crd, err := r.Client.Resource(definitionsResource()).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, fmt.Errorf("definition %s was deleted again", name)
		}
		return err == nil && condition(crd, "Established"), err
	})
	meta.MaybeResetRESTMapperWithContext(ctx, r.Mapper)
	return err
}
