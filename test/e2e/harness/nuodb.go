// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Tiers is the resource of NuoDB service tiers.
func Tiers() schema.GroupVersionResource { return nuodb("servicetiers") }

// Features is the resource of NuoDB Helm features.
func Features() schema.GroupVersionResource { return nuodb("helmfeatures") }

// Domains is the resource of NuoDB domains.
func Domains() schema.GroupVersionResource { return nuodb("domains") }

// Databases is the resource of NuoDB databases.
func Databases() schema.GroupVersionResource { return nuodb("databases") }

func nuodb(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "cp.nuodb.com", Version: "v1beta1", Resource: resource}
}

// Testdata is the path of a file in test/e2e/testdata.
func Testdata(ctx context.Context, elements ...string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(append([]string{root, "test", "e2e", "testdata"}, elements...)...), nil
}

// LoadNuoDBCRDs installs the CRDs and returns when they are served.
func LoadNuoDBCRDs(ctx context.Context, admin Runner) error {
	crds, err := Testdata(ctx, "nuodb", "crds.yaml")
	if err != nil {
		return err
	}
	r := admin.Kubectl(ctx, "apply", "--server-side", "-f", crds, "-o", `jsonpath={.metadata.name}{"\n"}`)
	if r.Code != 0 {
		return fmt.Errorf("load NuoDB CRDs: kubectl exited with %d: %s", r.Code, r.Stderr)
	}
	return Served(ctx, admin.Cluster.Config, strings.Fields(r.Stdout)...)
}

// LoadNuoDB installs the CRDs and the samples, and gives tiers and features the
// revision history that the operator would: a second revision where a sample
// refers to one.
func LoadNuoDB(ctx context.Context, admin Runner) error {
	if err := LoadNuoDBCRDs(ctx, admin); err != nil {
		return err
	}
	samples, err := Testdata(ctx, "nuodb", "samples.yaml")
	if err != nil {
		return err
	}
	// As people do it, so that the annotation of client-side apply is there too.
	if r := admin.Kubectl(ctx, "apply", "-f", samples); r.Code != 0 {
		return fmt.Errorf("load NuoDB samples: kubectl exited with %d: %s", r.Code, r.Stderr)
	}
	if err := RecordRevisions(ctx, admin); err != nil {
		return err
	}
	for _, tier := range []string{"n0.small", "n1.small", "n2.unused"} {
		r := admin.Kubectl(ctx, "-n", "nuodb-cp-system", "patch", "servicetier", tier, "--type=merge", "-p", `{"spec":{"updateStrategy":{"type":"CanaryRollout"}}}`)
		if r.Code != 0 {
			return fmt.Errorf("load NuoDB samples: kubectl exited with %d: %s", r.Code, r.Stderr)
		}
	}
	return RecordRevisions(ctx, admin)
}

// RecordRevisions does what the operator does at each change of a tier or a
// feature: it adds the spec to the history in the status.
func RecordRevisions(ctx context.Context, admin Runner) error {
	client, err := dynamic.NewForConfig(admin.Cluster.Config)
	if err != nil {
		return fmt.Errorf("record revisions: %w", err)
	}
	for _, resource := range []schema.GroupVersionResource{Tiers(), Features()} {
		list, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("record revisions: %w", err)
		}
		for _, item := range list.Items {
			changed, err := AddRevision(&item, 0)
			if err != nil {
				return fmt.Errorf("record revisions of %s: %w", item.GetName(), err)
			}
			if !changed {
				continue
			}
			if _, err := client.Resource(resource).Namespace(item.GetNamespace()).UpdateStatus(ctx, &item, metav1.UpdateOptions{FieldManager: "nuodb-operator"}); err != nil {
				return fmt.Errorf("record revisions: %w", err)
			}
		}
	}
	return nil
}

// AddRevision adds the object's spec to its history, and says so in a
// condition, unless this generation is there already. The history keeps at most
// the last kept of them, or all if that is 0.
func AddRevision(object *unstructured.Unstructured, kept int) (bool, error) {
	revisions, _, err := unstructured.NestedSlice(object.Object, "status", "history", "revisions")
	if err != nil {
		return false, err
	}
	for _, r := range revisions {
		if g, _, err := unstructured.NestedInt64(r.(map[string]any), "generation"); err != nil || g == object.GetGeneration() {
			return false, err
		}
	}
	spec, err := json.Marshal(object.Object["spec"])
	if err != nil {
		return false, err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	revisions = append(revisions, map[string]any{
		"generation": object.GetGeneration(), "creationTimestamp": now, "spec": base64.StdEncoding.EncodeToString(spec),
	})
	if kept > 0 {
		revisions = revisions[max(0, len(revisions)-kept):]
	}
	if err := unstructured.SetNestedSlice(object.Object, revisions, "status", "history", "revisions"); err != nil {
		return false, err
	}
	if object.GetKind() != "ServiceTier" {
		return true, nil
	}
	return true, unstructured.SetNestedSlice(object.Object, []any{map[string]any{
		"type": "Ready", "status": "True", "reason": "Reconciled", "message": "all features are there",
		"observedGeneration": object.GetGeneration(), "lastTransitionTime": now,
	}}, "status", "conditions")
}
