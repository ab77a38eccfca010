// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// spot is what a path of the API is about.
type spot struct{ resource, namespace, name, subresource string }

func place(path string) spot {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var s spot
	group := ""
	if parts[0] == "apis" {
		group, parts = "."+parts[1], parts[1:]
	}
	parts = parts[2:] // the version
	if parts[0] == "namespaces" && len(parts) > 2 {
		s.namespace, parts = parts[1], parts[2:]
	}
	s.resource = parts[0] + group
	if len(parts) > 1 {
		s.name = parts[1]
	}
	if len(parts) > 2 {
		s.subresource = parts[2]
	}
	return s
}

// journalRecord names a write to the journal of a run. A sign of life is no record.
func journalRecord(w harness.Write) string {
	defer GinkgoRecover()
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(w.Body, nil, nil)
	secret, ok := decoded.(*corev1.Secret)
	if err != nil || !ok {
		Fail("not a Secret: " + string(w.Body))
	}
	var state journal.State
	if err := json.Unmarshal(secret.Data["journal"], &state); err != nil {
		Fail(err.Error())
	}
	switch {
	case !state.Ended.IsZero():
		return "journal closed"
	case state.Holder == (journal.Holder{}):
		return "journal left"
	case state.Revision == 1:
		return "journal begun"
	case state.Seen.Sub(state.Since) < time.Second:
		return "journal taken up"
	default:
		return ""
	}
}

// snapshotRecord names a write to a snapshot of an object of resource.
func snapshotRecord(w harness.Write, resource string) string {
	defer GinkgoRecover()
	var patch struct {
		Metadata struct{ Annotations map[string]*string }
	}
	if err := json.Unmarshal(w.Body, &patch); err != nil {
		Fail(err.Error())
	}
	text, noted := patch.Metadata.Annotations["holdfast.dev/journal"]
	switch {
	case !noted:
		return "another note on " + resource
	case text == nil:
		return "cleared: " + resource
	}
	var j snapshot.Journal
	if err := json.Unmarshal([]byte(*text), &j); err != nil {
		Fail(err.Error())
	}
	return string(j.Phase) + ": " + resource
}
