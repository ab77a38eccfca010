// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	setPrefix = "holdfast-set-"

	// labelSet is the ID of a set. The labels of snapshots are others, so that
	// no list of snapshots ever shows a set.
	labelSet     = "holdfast.dev/set"
	labelSetUID  = "holdfast.dev/set-uid"
	labelSetRoot = "holdfast.dev/set-root"

	annotationSetFormat = "holdfast.dev/set-format"
	annotationSetRecord = "holdfast.dev/set-record"
	annotationSetAgain  = "holdfast.dev/set-again"

	setFormat = "1"
	// maxMembers leaves room for the record below the 1 MiB that the data of a
	// Secret may have.
	maxMembers = 1<<20 - 64<<10

	dataMembers = "members"
)

// encodeSet is the Secret that holds s.
func (c *codec) encodeSet(s *Set) (*corev1.Secret, error) {
	meta, err := json.Marshal(s.SetRecord)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	raw, err := json.Marshal(s.Members)
	if err != nil {
		return nil, fmt.Errorf("encode members: %w", err)
	}
	payload := c.pack.EncodeAll(raw, nil)
	if len(payload) > maxMembers {
		return nil, fmt.Errorf("%w: a set of %d members", ErrTooLarge, len(s.Members))
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: setPrefix + s.ID,
			Labels: map[string]string{
				labelManagedBy: "holdfast",
				labelSet:       s.ID,
				labelSetUID:    labelValue(string(s.UID)),
				labelSetRoot:   objectLabel(s.Resource, s.Namespace, s.Name),
			},
			Annotations: map[string]string{annotationSetFormat: setFormat, annotationSetRecord: string(meta)},
		},
		Type: SecretType,
		Data: map[string][]byte{
			dataFormat:  []byte(setFormat),
			dataRecord:  meta,
			dataMembers: payload,
			dataSum:     checksum(meta, payload),
		},
	}, nil
}

// decodeSet is the set that secret holds; every error is an ErrDamaged.
func (c *codec) decodeSet(secret *corev1.Secret) (*Set, error) {
	id := strings.TrimPrefix(secret.Name, setPrefix)
	damaged := func(problem string) (*Set, error) {
		return nil, fmt.Errorf("%w: set %s: %s", ErrDamaged, id, problem)
	}
	if secret.Type != SecretType {
		return damaged(fmt.Sprintf("Secret %q is of type %q, not %q", secret.Name, secret.Type, SecretType))
	}
	if got := string(secret.Data[dataFormat]); got != setFormat {
		return damaged(formatProblem(got))
	}
	meta, payload := secret.Data[dataRecord], secret.Data[dataMembers]
	if subtle.ConstantTimeCompare(checksum(meta, payload), secret.Data[dataSum]) != 1 {
		return damaged("its content was changed or cut off: the checksum does not match; use another set of the object")
	}
	raw, err := c.unpack.DecodeAll(payload, nil)
	if err != nil {
		return damaged("its members cannot be unpacked; use another set of the object")
	}
	s := &Set{}
	if json.Unmarshal(meta, &s.SetRecord) != nil || json.Unmarshal(raw, &s.Members) != nil || s.ID != id {
		return damaged("its record cannot be read; use another set of the object")
	}
	addAgain(&s.SetRecord, secret)
	return s, nil
}

// describeSet is what the metadata of a set's Secret tells.
func describeSet(m metav1.Object) SetRecord {
	var r SetRecord
	annotations := m.GetAnnotations()
	if got := annotations[annotationSetFormat]; got != setFormat {
		r.Problem = formatProblem(got)
	} else if json.Unmarshal([]byte(annotations[annotationSetRecord]), &r) != nil {
		r = SetRecord{Problem: "its annotations cannot be read; use another set of the object"}
	}
	r.ID = strings.TrimPrefix(m.GetName(), setPrefix)
	addAgain(&r, m)
	return r
}

// again is what is noted on a set that is found once more.
type again struct {
	At        time.Time `json:"at"`
	Operation string    `json:"operation,omitempty"`
	User      string    `json:"user,omitempty"`
}

func addAgain(r *SetRecord, m metav1.Object) {
	r.LastAt = r.TakenAt
	var a again
	if json.Unmarshal([]byte(m.GetAnnotations()[annotationSetAgain]), &a) == nil && a.At.After(r.TakenAt) {
		r.LastAt, r.Operation, r.User = a.At, a.Operation, a.User
	}
}
