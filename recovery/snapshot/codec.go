// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// SecretType is the type of the Secrets that hold snapshots.
	SecretType corev1.SecretType = "holdfast.dev/snapshot" //nolint:gosec // a type, no credential

	// format is how a snapshot is laid out in its Secret. A change of the
	// layout gets a new one.
	format = "1"
	// formatChunked is the layout over several Secrets, for what is too large for one.
	formatChunked = "2"

	namePrefix = "holdfast-snapshot-"

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelSnapshot  = "holdfast.dev/snapshot" // the ID
	labelUID       = "holdfast.dev/uid"
	labelObject    = "holdfast.dev/object"

	annotationFormat  = "holdfast.dev/snapshot-format"
	annotationRecord  = "holdfast.dev/snapshot-record"
	annotationAttempt = "holdfast.dev/last-attempt"
	annotationJournal = "holdfast.dev/journal"
	annotationState   = "holdfast.dev/snapshot-state"

	dataFormat = "format"
	dataRecord = "record"
	dataObject = "object"
	dataSum    = "sum"

	// maxObject bounds what a payload may unpack to; the API server takes no
	// object of that size.
	maxObject = 16 << 20
)

// codec packs and unpacks payloads. It is safe for use by several goroutines.
type codec struct {
	pack   *zstd.Encoder
	unpack *zstd.Decoder
}

func newCodec() (*codec, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxObject))
	if err != nil {
		return nil, fmt.Errorf("set up decompression: %w", err)
	}
	return &codec{pack: pack, unpack: unpack}, nil
}

// compress is raw, an object's JSON, as it is stored.
func (c *codec) compress(raw []byte) ([]byte, error) {
	if len(raw) > maxObject {
		return nil, fmt.Errorf("%w: %d bytes, at most %d can be read again", ErrTooLarge, len(raw), maxObject)
	}
	return c.pack.EncodeAll(raw, nil), nil
}

// head is the Secret that makes a snapshot of record and payload, of which it
// holds the first part.
func head(record Record, payload, first []byte) (*corev1.Secret, error) {
	journal := record.Journal
	state, err := json.Marshal(record.status())
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	record.Journal, record.LastAttempt, record.Pin = nil, nil, nil // they change; the rest does not
	record.setStatus(status{})
	meta, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	annotations := map[string]string{annotationFormat: formatOf(&record), annotationRecord: string(meta), annotationState: string(state)}
	if journal != nil {
		text, err := json.Marshal(journal)
		if err != nil {
			return nil, fmt.Errorf("encode journal: %w", err)
		}
		annotations[annotationJournal] = string(text)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: namePrefix + record.ID,
			Labels: map[string]string{
				labelManagedBy: "holdfast",
				labelSnapshot:  record.ID,
				labelUID:       labelValue(string(record.UID)),
				labelObject:    objectLabel(record.Resource, record.Namespace, record.Name),
			},
			Annotations: annotations,
		},
		Type: SecretType,
		Data: map[string][]byte{
			dataFormat: []byte(formatOf(&record)),
			dataRecord: meta,
			dataObject: first,
			dataSum:    checksum(meta, payload),
		},
	}, nil
}

// formatOf is the layout that a snapshot is stored in.
func formatOf(r *Record) string {
	if len(r.Chunks) > 0 {
		return formatChunked
	}
	return format
}

// checksum is kept beside what it sums up, inside the Secret: outside, it
// would be a digest of a Secret's content in the open.
func checksum(meta, payload []byte) []byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d\n", len(meta)) // a hash never fails
	_, _ = h.Write(meta)
	_, _ = h.Write(payload)
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

// damaged is the error of a stored snapshot that cannot be relied on. What is
// in the payload, which may be a Secret's, is never part of it.
func damaged(id, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, id, problem)
}

// readRecord is the record inside secret, not verified yet.
func readRecord(secret *corev1.Secret) (*Record, error) {
	id := idOf(secret)
	if secret.Type != SecretType {
		return nil, damaged(id, fmt.Sprintf("Secret %q is of type %q, not %q", secret.Name, secret.Type, SecretType))
	}
	got := string(secret.Data[dataFormat])
	if got != format && got != formatChunked {
		return nil, damaged(id, formatProblem(got))
	}
	r := &Record{}
	if err := json.Unmarshal(secret.Data[dataRecord], r); err != nil || formatOf(r) != got {
		return nil, damaged(id, "its record was changed or cut off; use another snapshot of the object")
	}
	return r, nil
}

// decode is the snapshot in secret, whose record and whole payload are given;
// every error is an ErrDamaged.
func (c *codec) decode(secret *corev1.Secret, record *Record, payload []byte) (*Snapshot, error) {
	id := idOf(secret)
	if subtle.ConstantTimeCompare(checksum(secret.Data[dataRecord], payload), secret.Data[dataSum]) != 1 {
		return nil, damaged(id, "its content was changed or cut off: the checksum does not match; use another snapshot of the object")
	}
	raw, err := c.unpack.DecodeAll(payload, nil)
	if err != nil {
		return nil, damaged(id, "its payload cannot be unpacked; use another snapshot of the object")
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		return nil, damaged(id, "its payload is not an object; use another snapshot of the object")
	}
	snap := &Snapshot{Record: *record, Object: obj, Raw: raw}
	if snap.ID != id || snap.UID != obj.GetUID() || snap.Name != obj.GetName() || snap.Namespace != obj.GetNamespace() {
		return nil, damaged(id, "its record is not that of its payload; use another snapshot of the object")
	}
	addNotes(&snap.Record, secret)
	return snap, nil
}

// describe is what the metadata of a snapshot's Secret tells. Metadata that
// cannot be read is a problem of this record alone.
func describe(m metav1.Object) Record {
	var r Record
	annotations := m.GetAnnotations()
	if got := annotations[annotationFormat]; got != format && got != formatChunked {
		r.Problem = formatProblem(got)
	} else if err := json.Unmarshal([]byte(annotations[annotationRecord]), &r); err != nil {
		r = Record{Problem: "its annotations cannot be read; 'recovery show' tells whether its payload can"}
	}
	r.ID = idOf(m)
	addNotes(&r, m)
	return r
}

// addNotes adds to r what came to be known after the snapshot was written.
func addNotes(r *Record, m metav1.Object) {
	r.LastAttempt, r.Journal, r.Pin = nil, nil, nil
	annotations := m.GetAnnotations()
	if text, ok := annotations[annotationAttempt]; ok {
		attempt := &Attempt{}
		if json.Unmarshal([]byte(text), attempt) == nil {
			r.LastAttempt = attempt
		}
	}
	if text, ok := annotations[annotationPin]; ok {
		// Whatever it says, whoever wrote it wants the snapshot to stay.
		r.Pin = &Pin{}
		_ = json.Unmarshal([]byte(text), r.Pin)
	}
	if text, ok := annotations[annotationJournal]; ok {
		journal := &Journal{}
		if json.Unmarshal([]byte(text), journal) == nil {
			r.Journal = journal
		} else if r.Problem == "" {
			// Not knowing how far a recovery came is not the same as none.
			r.Problem = fmt.Sprintf("annotation %s cannot be read; remove it from Secret %q and compare the object by hand", annotationJournal, m.GetName())
		}
	}
	r.readStatus(annotations)
}

func formatProblem(got string) string {
	if got == "" {
		return "its format is not marked: it was changed or cut off; use another snapshot of the object"
	}
	return fmt.Sprintf("format %q is unknown to this version of holdfast, which knows %q and %q; use a newer holdfast", got, format, formatChunked)
}

// idOf is the ID in the name of a snapshot's Secret; a label could be edited.
func idOf(m metav1.Object) string {
	name := m.GetName()
	if len(name) > len(namePrefix) && name[:len(namePrefix)] == namePrefix {
		return name[len(namePrefix):]
	}
	return name
}
