// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/release"
)

// revisions are written as "STATUS object object", oldest first.
func revisions(t *testing.T, lines ...string) []*release.Revision {
	t.Helper()
	var all []*release.Revision
	for i, line := range lines {
		words := strings.Fields(line)
		var manifest strings.Builder
		for _, name := range words[1:] {
			namespace := ""
			if name == "here" {
				namespace = ", namespace: ops"
			}
			fmt.Fprintf(&manifest, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s%s}\n", name, namespace)
		}
		text, err := json.Marshal(map[string]string{"manifest": manifest.String()})
		if err != nil {
			t.Fatal(err)
		}
		r, ok := release.Read(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ops", Labels: map[string]string{"owner": "helm", "name": "bill", "status": words[0], "version": fmt.Sprint(i + 1)}},
			Type:       release.SecretType,
			Data:       map[string][]byte{"release": []byte(base64.StdEncoding.EncodeToString(text))},
		})
		if !ok {
			t.Fatal("no revision")
		}
		all = append(all, r)
	}
	return all
}

func TestDroppedOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason    string
		revisions []string
		want      []string
	}{
		"no release":        {},
		"one revision":      {revisions: []string{"deployed a b"}},
		"upgrade under way": {revisions: []string{"deployed a b", "pending-upgrade a c"}, want: []string{"b"}},
		"rollback under way": {
			reason:    "what only the failed one had goes",
			revisions: []string{"deployed a", "failed a x", "pending-rollback a"}, want: []string{"x"},
		},
		"upgrade failed": {
			reason:    "helm uninstall would remove what the newest has",
			revisions: []string{"deployed a b", "failed a x"},
		},
		"left over by an upgrade that could not delete": {revisions: []string{"superseded a b", "deployed a"}, want: []string{"b"}},
		"one manifest names the release's namespace":    {revisions: []string{"deployed here", "pending-upgrade here"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dropped, err := droppedOf(revisions(t, tc.revisions...))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range dropped {
				if o.Kind != "Deployment.apps" || o.Namespace != "" {
					t.Errorf("object %+v", o)
				}
				got = append(got, o.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("dropped (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
