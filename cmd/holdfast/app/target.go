// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// target is one object that the command line names.
type target struct {
	mapping   *meta.RESTMapping
	namespace string // empty for a cluster-scoped resource
	name      string
}

// targets reads RESOURCE NAME... or RESOURCE/NAME..., as kubectl does.
func (c *cluster) targets(ctx context.Context, args []string) ([]target, error) {
	var found []target
	if !strings.Contains(args[0], "/") {
		if len(args) == 1 {
			return nil, usagef("name the objects of resource %q: RESOURCE NAME..., or RESOURCE/NAME", args[0])
		}
		mapping, err := c.resolveServed(ctx, args[0])
		if err != nil {
			return nil, err
		}
		for _, name := range args[1:] {
			if name == "" || strings.Contains(name, "/") {
				return nil, usagef("%q is not a name: after RESOURCE come names; RESOURCE/NAME is for all arguments or none", name)
			}
			found = append(found, c.target(mapping, name))
		}
		return found, nil
	}
	for _, arg := range args {
		resource, name, ok := strings.Cut(arg, "/")
		if !ok || resource == "" || name == "" || strings.Contains(name, "/") {
			return nil, usagef("%q is not RESOURCE/NAME", arg)
		}
		mapping, err := c.resolveServed(ctx, resource)
		if err != nil {
			return nil, err
		}
		found = append(found, c.target(mapping, name))
	}
	return found, nil
}

func (c *cluster) target(mapping *meta.RESTMapping, name string) target {
	t := target{mapping: mapping, name: name}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		t.namespace = c.namespace
	}
	return t
}

// resolveServed is resolve for what has to be there: a resource that is gone with
// its definition, and was saved, is one more reason than a wrong name.
func (c *cluster) resolveServed(ctx context.Context, arg string) (*meta.RESTMapping, error) {
	mapping, err := c.resolve(ctx, arg)
	if exitCode(err) == exitUsage {
		return nil, c.unserved(ctx, arg, err)
	}
	return mapping, err
}

// resolve finds the resource that kubectl would take arg for: a plural,
// singular or short name, or a kind, with or without group and version.
func (c *cluster) resolve(ctx context.Context, arg string) (*meta.RESTMapping, error) {
	ctx = quietly(ctx)
	kind, err := c.kindFor(ctx, arg)
	switch {
	case meta.IsNoMatchError(err):
		return nil, usagef("the cluster has no resource %q; 'kubectl api-resources' lists those it has", arg)
	case meta.IsAmbiguousError(err):
		return nil, usagef("resource %q is ambiguous; write RESOURCE.GROUP", arg)
	case err != nil:
		return nil, fmt.Errorf("look up resource %q: %w", arg, err)
	}
	mapping, err := c.mapper.RESTMappingWithContext(ctx, kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, fmt.Errorf("look up resource %q: %w", arg, err)
	}
	return mapping, nil
}

func (c *cluster) kindFor(ctx context.Context, arg string) (schema.GroupVersionKind, error) {
	full, partial := schema.ParseResourceArg(strings.ToLower(arg))
	if full != nil {
		kind, err := c.mapper.KindForWithContext(ctx, *full)
		if !meta.IsNoMatchError(err) {
			return kind, err
		}
	}
	kind, err := c.mapper.KindForWithContext(ctx, partial.WithVersion(""))
	if !meta.IsNoMatchError(err) {
		return kind, err
	}
	// The name of a kind need not be that of its resource.
	fullKind, partialKind := schema.ParseKindArg(arg)
	versions := []string{}
	if fullKind != nil {
		partialKind, versions = fullKind.GroupKind(), []string{fullKind.Version}
	}
	mapping, kindErr := c.mapper.RESTMappingWithContext(ctx, partialKind, versions...)
	if kindErr != nil {
		return schema.GroupVersionKind{}, err
	}
	return mapping.GroupVersionKind, nil
}
