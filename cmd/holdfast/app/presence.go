// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// presence is what has become of a saved object.
type presence string

const (
	present     presence = "present"
	terminating presence = "terminating"
	gone        presence = "gone"
	replaced    presence = "replaced" // another object bears its name
	unknown     presence = "unknown"
)

const (
	// fewObjects is up to how many objects of a resource are asked for one by
	// one; for more, one list of the resource's metadata is cheaper.
	fewObjects = 10
	presences  = 500 // a page of that list
)

// saved is an object of which there are snapshots.
type saved struct {
	resource, namespace, name string
	uid                       types.UID
	// again is the UID that a recovery gave it.
	again types.UID
}

func objectOf(r *snapshot.Record) saved {
	o := saved{r.Resource, r.Namespace, r.Name, r.UID, r.UID}
	if r.Journal != nil && r.Journal.NewUID != "" {
		o.again = r.Journal.NewUID
	}
	return o
}

// presences tells what has become of the objects of records. What cannot be
// found out is unknown, and the reason among the errors.
func (c *cluster) presences(ctx context.Context, records []snapshot.Record) (map[saved]presence, []error) {
	byResource := map[string]map[saved]bool{}
	now := map[saved]presence{}
	var order []string
	for _, r := range records {
		if r.Problem != "" {
			continue
		}
		if byResource[r.Resource] == nil {
			byResource[r.Resource] = map[saved]bool{}
			order = append(order, r.Resource)
		}
		byResource[r.Resource][objectOf(&r)] = true
		now[objectOf(&r)] = unknown
	}
	var trouble []error
	for _, resource := range order {
		if err := c.lookUp(ctx, schema.ParseGroupResource(resource), byResource[resource], now); err != nil {
			trouble = append(trouble, fmt.Errorf("what has become of the objects of %s is unknown: %w", resource, err))
		}
	}
	return now, trouble
}

// lookUp fills in now for objects of one resource.
func (c *cluster) lookUp(ctx context.Context, gr schema.GroupResource, objects map[saved]bool, now map[saved]presence) error {
	kind, err := c.mapper.KindForWithContext(ctx, gr.WithVersion(""))
	if meta.IsNoMatchError(err) {
		for o := range objects {
			now[o] = gone
		}
		return nil
	}
	if err != nil {
		return err
	}
	mapping, err := c.mapper.RESTMappingWithContext(ctx, kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	live := map[string]*metav1.PartialObjectMetadata{}
	if len(objects) <= fewObjects {
		err = c.getEach(ctx, mapping.Resource, objects, live)
	} else {
		err = c.listAll(ctx, mapping.Resource, live)
	}
	if apierrors.IsNotFound(err) {
		live, err = nil, nil // what discovery still tells of has gone with its definition
	}
	if err != nil {
		return err
	}
	for o := range objects {
		now[o] = presenceOf(o, live[o.namespace+"/"+o.name])
	}
	return nil
}

func (c *cluster) getEach(ctx context.Context, gvr schema.GroupVersionResource, objects map[saved]bool, live map[string]*metav1.PartialObjectMetadata) error {
	for o := range objects {
		m, err := c.metadata.Resource(gvr).Namespace(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		live[o.namespace+"/"+o.name] = m
	}
	return nil
}

func (c *cluster) listAll(ctx context.Context, gvr schema.GroupVersionResource, live map[string]*metav1.PartialObjectMetadata) error {
	client := c.metadata.Resource(gvr).Namespace(metav1.NamespaceAll)
	if c.namespaceGiven {
		client = c.metadata.Resource(gvr).Namespace(c.namespace)
	}
	opts := metav1.ListOptions{Limit: presences}
	for {
		page, err := client.List(ctx, opts)
		if err != nil {
			return err
		}
		for i := range page.Items {
			live[page.Items[i].Namespace+"/"+page.Items[i].Name] = &page.Items[i]
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return nil
		}
	}
}

// presenceOf tells what has become of o, if live bears its name.
func presenceOf(o saved, live *metav1.PartialObjectMetadata) presence {
	switch {
	case live == nil:
		return gone
	case live.UID != o.uid && live.UID != o.again:
		return replaced
	case live.DeletionTimestamp != nil:
		return terminating
	default:
		return present
	}
}
