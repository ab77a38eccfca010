// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// idLength is the number of characters of an ID: 80 bits, which leaves no
// room for two versions that meet by accident.
const idLength = 16

// bookkeeping are the fields of metadata that change although the object's
// content does not. Without them an object that a delete has only marked, and
// the same object before, are one version.
func bookkeeping() []string {
	return []string{"resourceVersion", "managedFields", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"}
}

// canonical is the content of obj that makes up its identity: JSON with
// sorted keys, without bookkeeping. It does not change obj.
func canonical(obj *unstructured.Unstructured) ([]byte, error) {
	content := maps.Clone(obj.Object)
	if metadata, ok := content["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range bookkeeping() {
			delete(metadata, field)
		}
		content["metadata"] = metadata
	}
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	return data, nil
}

// identity is the ID of a version. The format is part of it, so that
// versions of Holdfast that store differently never meet under one name.
func identity(key []byte, uid string, content []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s\n%s\n", format, uid) // a hash never fails
	_, _ = mac.Write(content)
	return lowerBase32(mac.Sum(nil))[:idLength]
}

// ValidID says whether id has the form of a snapshot's ID.
func ValidID(id string) bool {
	return len(id) == idLength && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func lowerBase32(data []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(data))
}

// objectLabel is the label value by which the snapshots of one object are
// found, whatever UIDs it had. Names can be longer than labels may be, and
// none of them may hold a slash, which makes the hashed text unambiguous.
func objectLabel(resource, namespace, name string) string {
	sum := sha256.Sum256([]byte(resource + "/" + namespace + "/" + name))
	return lowerBase32(sum[:])
}

// labelValue is text if a label can hold it, else a digest of it.
func labelValue(text string) string {
	if len(validation.IsValidLabelValue(text)) == 0 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return lowerBase32(sum[:])
}
