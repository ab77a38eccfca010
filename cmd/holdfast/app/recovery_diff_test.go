// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestDiffOutput(t *testing.T) {
	t.Parallel()
	plan := func(spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": "Plan", "spec": spec,
			"metadata": map[string]any{"name": "gold", "uid": "u-1", "resourceVersion": "7", "generation": int64(3), "managedFields": []any{}},
		}}
	}
	secret := func(value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"data": map[string]any{"same": "c2FtZQ==", "tls.key": value},
			"metadata": map[string]any{"name": "s", "annotations": map[string]any{
				"kubectl.kubernetes.io/last-applied-configuration": "applied " + value, "plain": "text of " + value,
			}},
		}}
	}
	other := plan(map[string]any{"a": int64(1)})
	other.SetUID("u-2")
	other.SetResourceVersion("9")
	other.SetGeneration(1)
	for name, tc := range map[string]struct {
		saved, other *unstructured.Unstructured
		reveal       bool
		want         string
	}{
		"the same but for what the server writes": {saved: plan(map[string]any{"a": int64(1)}), other: other},
		"fields": {
			saved: plan(map[string]any{"a": int64(1), "list": []any{"x", "y"}, "gone": map[string]any{}}),
			other: plan(map[string]any{"a": "1", "list": []any{"x"}, "dotted.key": "line\nbreak"}),
			want:  "- .spec.a: 1\n+ .spec.a: \"1\"\n- .spec.gone: {}\n- .spec.list[1]: \"y\"\n+ .spec[\"dotted.key\"]: \"line\\nbreak\"\n",
		},
		"a Secret": {
			saved: secret("b25l"), other: secret("dHdv"),
			want: "- .data[\"tls.key\"]: ***\n+ .data[\"tls.key\"]: ***\n" +
				"- .metadata.annotations.plain: \"text of b25l\"\n+ .metadata.annotations.plain: \"text of dHdv\"\n" +
				"- .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]: ***\n+ .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]: ***\n",
		},
		"a Secret whose values were wanted": {
			saved: secret("b25l"), other: secret("dHdv"), reveal: true,
			want: "- .data[\"tls.key\"]: \"b25l\"\n+ .data[\"tls.key\"]: \"dHdv\"\n" +
				"- .metadata.annotations.plain: \"text of b25l\"\n+ .metadata.annotations.plain: \"text of dHdv\"\n" +
				"- .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]: \"applied b25l\"\n+ .metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]: \"applied dHdv\"\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, out, _ := streams()
			o := &recoveryDiffOptions{streams: s, reveal: tc.reveal}
			record := snapshot.Record{ID: "aaaaaaaaaaaaaaaa", Resource: "things", Name: "x", SavedAt: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
			differs, err := o.print(&snapshot.Snapshot{Record: record, Object: tc.saved}, tc.other, "live")
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			if want != "" {
				want = "--- things/x/aaaaaaaaaaaaaaaa, saved 2026-11-20T12:00:00Z\n+++ live\n" + want
			}
			if diff := cmp.Diff(want, out.String()); diff != "" || differs != (want != "") {
				t.Errorf("differs %v (-want +got):\n%s", differs, diff)
			}
		})
	}
}

func TestMaskOddShapes(t *testing.T) {
	t.Parallel()
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": "not a map", "stringData": map[string]any{"a": map[string]any{"b": "c"}},
	}}
	if !mask(secret) {
		t.Fatal("a Secret is not masked")
	}
	want := map[string]any{"apiVersion": "v1", "kind": "Secret", "data": "***", "stringData": map[string]any{"a": "***"}}
	if diff := cmp.Diff(want, secret.Object); diff != "" {
		t.Errorf("masked (-want +got):\n%s", diff)
	}
}
