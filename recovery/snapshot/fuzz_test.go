// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

// FuzzDecode reads anything as a stored snapshot, with a right checksum half of
// the time, so that it gets past that. Whatever it is, it is a snapshot whose
// record fits its object, or an ErrDamaged that quotes nothing of the payload.
func FuzzDecode(f *testing.F) {
	const marker = "m4rk3r"
	kube, meta := snapshottest.Clients(f.Context())
	store, err := NewStore(kube, meta, "ns", time.Now)
	if err != nil {
		f.Fatal(err)
	}
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "s", "namespace": "ns", "uid": "u"},
		"data":     map[string]any{"p": marker},
	}}
	raw, err := obj.MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	payload, err := store.codec.compress(raw)
	if err != nil {
		f.Fatal(err)
	}
	const record = `{"id":"aaaaaaaaaaaaaaaa","resource":"secrets","name":"s","namespace":"ns","uid":"u","size":1}`
	f.Add(record, payload, "1", true, "{}")
	f.Add(record, payload[:len(payload)/2], "1", true, "")
	f.Add(record, raw, "1", true, `{"state":"deleted"}`)
	f.Add(strings.Replace(record, `"size"`, `"chunks":["holdfast-chunk-aaaaaaaaaaaaaaaa-x"],"size"`, 1), payload, "2", true, "[]")
	f.Add(record, payload, "2", false, "null")
	f.Add(record, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff}, "1", true, `{"state":1}`)
	f.Fuzz(func(t *testing.T, record string, payload []byte, layout string, sum bool, note string) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name: namePrefix + "aaaaaaaaaaaaaaaa", Namespace: "ns",
				Annotations: map[string]string{
					annotationFormat: layout, annotationRecord: record, annotationState: note,
					annotationJournal: note, annotationAttempt: note, annotationPin: note,
				},
			},
			Type: SecretType,
			Data: map[string][]byte{dataFormat: []byte(layout), dataRecord: []byte(record), dataObject: payload, dataSum: []byte(note)},
		}
		if sum {
			secret.Data[dataSum] = checksum([]byte(record), payload)
		}
		listed := describe(secret)
		if listed.ID != "aaaaaaaaaaaaaaaa" {
			t.Errorf("listed as %q", listed.ID)
		}
		snap, err := store.read(t.Context(), secret)
		if err == nil {
			if snap.ID != listed.ID || snap.UID != snap.Object.GetUID() || snap.Name != snap.Object.GetName() || !bytes.HasPrefix(bytes.TrimSpace(snap.Raw), []byte("{")) {
				t.Errorf("the record of %+v is not that of %s", snap.Record, snap.Raw)
			}
			return
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v is no ErrDamaged", err)
		}
		if strings.Contains(err.Error(), marker) && !strings.Contains(record+layout, marker) {
			t.Errorf("the error quotes the payload: %v", err)
		}
	})
}
