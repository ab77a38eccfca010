// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

// history is a keeper of at most two versions over a store with five of one object.
func history(t *testing.T) (*Keeper, *metadatafake.FakeMetadataClient, *prometheus.Registry) {
	t.Helper()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	kube, meta := snapshottest.Clients(t.Context())
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		now = now.Add(time.Minute)
		obj := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example/v1", "kind": "Thing", "metadata": map[string]any{"name": "x", "uid": "u"}, "spec": int64(i),
		}}
		if _, err := store.Save(t.Context(), schema.GroupResource{Group: "example", Resource: "things"}, obj, snapshot.Provenance{}); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	metrics, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	keeper := &Keeper{
		Snapshots: store, Policy: snapshot.Policy{Versions: 2}, Metrics: metrics, Every: time.Hour,
		Now: func() time.Time { return now },
	}
	return keeper, meta, registry
}

func left(t *testing.T, k *Keeper) int {
	t.Helper()
	records, err := k.Snapshots.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

func TestOnce(t *testing.T) {
	t.Parallel()
	k, _, registry := history(t)
	if err := k.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(t, k); n != 2 {
		t.Errorf("%d snapshots are left, want 2", n)
	}
	for name, want := range map[string]float64{
		"holdfast_snapshots": 2, "holdfast_snapshots_removed_total": 3, "holdfast_retention_failures_total": 0,
		"holdfast_snapshot_oldest_timestamp_seconds": float64(k.Now().Add(-time.Minute).Unix()),
	} {
		if got := metric(t, registry, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := metric(t, registry, "holdfast_snapshot_bytes"); got < 4<<10 || got > 8<<10 {
		t.Errorf("holdfast_snapshot_bytes is %v", got)
	}
}

// metric is the value of a metric without labels.
func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestOneThatStays(t *testing.T) {
	t.Parallel()
	k, meta, _ := history(t)
	first := true
	meta.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		fails := first
		first = false
		return fails, nil, errors.New("boom")
	})
	if err := k.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v", err)
	}
	if n := left(t, k); n != 3 {
		t.Errorf("%d snapshots are left, want 3: the others go", n)
	}
}

// What a set needs stays, as long as the set does.
func TestHeld(t *testing.T) {
	t.Parallel()
	k, meta, _ := history(t)
	records, err := k.Snapshots.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	oldest := records[4]
	set := snapshot.NewSet(oldest.GroupResource(), snapshot.SetRecord{Name: "root", UID: "root", Complete: true},
		[]snapshot.SetMember{{Resource: oldest.Resource, Name: oldest.Name, UID: oldest.UID, Snapshot: oldest.ID}})
	if _, err := k.Snapshots.SaveSet(t.Context(), set, snapshot.SetRecord{}); err != nil {
		t.Fatal(err)
	}
	if err := k.Once(t.Context()); err != nil || left(t, k) != 3 {
		t.Errorf("%d snapshots are left, %v; want 3", left(t, k), err)
	}
	k.Policy.Versions = 1
	meta.PrependReactor("list", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		sets := strings.Contains(action.(clienttesting.ListAction).GetListRestrictions().Labels.String(), "holdfast.dev/set")
		return sets, nil, errors.New("boom")
	})
	if err := k.Once(t.Context()); err == nil || left(t, k) != 3 {
		t.Errorf("what is needed is unknown, and yet: %d are left, %v", left(t, k), err)
	}
}

// What sets take counts, and they make room before anything else is lost.
func TestSetsCountAsBytes(t *testing.T) {
	t.Parallel()
	k, _, _ := history(t)
	records, err := k.Snapshots.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	k.Policy = snapshot.Policy{}
	before, err := k.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		set := snapshot.NewSet(records[0].GroupResource(), snapshot.SetRecord{Name: "x", UID: records[0].UID, Complete: i > 0},
			[]snapshot.SetMember{{Resource: records[0].Resource, Name: "x", UID: records[0].UID, Snapshot: records[i].ID}})
		if _, err := k.Snapshots.SaveSet(t.Context(), set, snapshot.SetRecord{}); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := k.Plan(t.Context())
	if err != nil || plan.Bytes <= before.Bytes || len(plan.Sets) != 0 {
		t.Errorf("bytes %d with sets, %d without; %d sets go, %v", plan.Bytes, before.Bytes, len(plan.Sets), err)
	}
	k.Policy.Bytes = plan.Bytes - 4<<10 // more than what no set holds
	if plan, err = k.Plan(t.Context()); err != nil || len(plan.Sets) == 0 || plan.Over != 0 {
		t.Errorf("%d sets go, %d bytes over, %v", len(plan.Sets), plan.Over, err)
	}
}

func TestRunEndsAndForgets(t *testing.T) {
	t.Parallel()
	k, _, registry := history(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	for left(t, k) != 2 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // between two looks at the condition
	}
	cancel()
	<-done
	if got := metric(t, registry, "holdfast_snapshots"); got != 0 {
		t.Errorf("a replica that does not lead counts %v snapshots", got)
	}
}
