// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

const manifest = `---
# Source: astarte-operator/templates/crds.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: astartes.api.astarte-platform.org, annotations: {helm.sh/resource-policy: keep}}
---
# Source: astarte-operator/templates/empty.yaml
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: operator}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: operator, namespace: elsewhere}}
`

// packed is how Helm stores a record.
func packed(t *testing.T, record string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write([]byte(record)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(base64.StdEncoding.EncodeToString(buffer.Bytes()))
}

func record(t *testing.T, manifest string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"name": "astarte", "chart": map[string]any{"templates": []any{}}, "manifest": manifest})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func secret(number int, status string, data []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("sh.helm.release.v1.astarte.v%d", number), Namespace: "operators",
			Labels: map[string]string{"owner": "helm", "name": "astarte", "status": status, "version": fmt.Sprint(number)},
		},
		Type: "helm.sh/release.v1", Data: map[string][]byte{"release": data},
	}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	all := []string{
		"CustomResourceDefinition operators/astartes.api.astarte-platform.org", "ServiceAccount operators/operator", "Deployment elsewhere/operator",
	}
	for name, tc := range map[string]struct {
		data      []byte
		want      []string
		wantError string
	}{
		"compressed":     {data: packed(t, record(t, manifest)), want: all},
		"not compressed": {data: []byte(base64.StdEncoding.EncodeToString([]byte(record(t, manifest)))), want: all},
		"no objects":     {data: packed(t, record(t, ""))},
		"nothing":        {wantError: "it holds nothing"},
		"no base64":      {data: []byte("{"), wantError: "decode base64"},
		"cut off":        {data: []byte(base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0x08, 0})), wantError: "decompress"},
		"no JSON":        {data: packed(t, "x"), wantError: "decode JSON"},
		"a bomb":         {data: packed(t, strings.Repeat(" ", 64<<20+1)), wantError: "larger than 64 MiB"},
		"no YAML":        {data: packed(t, record(t, "a: b: c")), wantError: "manifest of revision 3"},
		"no kind":        {data: packed(t, record(t, "a: b")), wantError: "no kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			revision, ok := Read(secret(3, "deployed", tc.data))
			if !ok {
				t.Fatal("not taken for a revision")
			}
			objects, err := revision.Objects()
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) || !strings.Contains(err.Error(), `"operators/astarte"`) {
					t.Errorf("error = %v, want it to hold %q and the release", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range objects {
				got = append(got, o.GetKind()+" "+revision.NamespaceOf(o)+"/"+o.GetName())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadOther(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*corev1.Secret){
		"type":    func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque },
		"owner":   func(s *corev1.Secret) { s.Labels["owner"] = "me" },
		"name":    func(s *corev1.Secret) { delete(s.Labels, "name") },
		"version": func(s *corev1.Secret) { s.Labels["version"] = "two" },
	} {
		s := secret(1, "deployed", nil)
		change(s)
		if _, ok := Read(s); ok {
			t.Errorf("a Secret of another %s is taken for a revision", name)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	both := map[string]string{"meta.helm.sh/release-name": "astarte", "meta.helm.sh/release-namespace": "operators"}
	if key, ok := Of(&metav1.ObjectMeta{Annotations: both}); !ok || key.String() != "operators/astarte" {
		t.Errorf("Of = %v, %v", key, ok)
	}
	for missing := range both {
		one := map[string]string{missing: both[missing]}
		if key, ok := Of(&metav1.ObjectMeta{Annotations: one}); ok {
			t.Errorf("Of = %v with %v", key, one)
		}
	}
}

func TestCurrent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		statuses []Status
		want     int
	}{
		"one":                        {[]Status{Deployed}, 1},
		"upgrade under way":          {[]Status{Superseded, Deployed, PendingUpgrade}, 2},
		"upgrade failed":             {[]Status{Deployed, Failed}, 1},
		"two, as a stopped one left": {[]Status{Deployed, Deployed}, 2},
		"never came to run":          {[]Status{Failed, PendingInstall}, 2},
	} {
		var revisions []*Revision
		for i, status := range tc.statuses {
			revisions = append(revisions, &Revision{Number: i + 1, Status: status})
		}
		got, err := Current(revisions)
		if err != nil || got.Number != tc.want {
			t.Errorf("%s: revision %v, %v; want %d", name, got, err, tc.want)
		}
	}
	if _, err := Current(nil); !errors.Is(err, ErrNone) {
		t.Errorf("none: %v", err)
	}
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	other := secret(7, "deployed", nil)
	other.Name, other.Labels["name"] = "other", "else"
	kube := fake.NewClientset(
		secret(10, "pending-upgrade", nil), secret(9, "deployed", nil), secret(8, "superseded", nil), other,
	)
	reader := Reader{Kube: kube}
	revisions, err := reader.Revisions(t.Context(), Key{Namespace: "operators", Name: "astarte"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range revisions {
		got = append(got, fmt.Sprint(r.Key, " ", r.Number, " ", r.Status, " ", r.Secret().Name))
	}
	want := []string{"operators/astarte 9 deployed sh.helm.release.v1.astarte.v9", "operators/astarte 10 pending-upgrade sh.helm.release.v1.astarte.v10"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	if _, err := reader.Revisions(t.Context(), Key{Namespace: "operators", Name: "no label"}); err == nil {
		t.Error("a name that cannot be one is no error")
	}
	kube.PrependReactor("list", "secrets", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("secrets"), "", errors.New("no"))
	})
	if _, err := reader.Revisions(t.Context(), Key{Namespace: "operators", Name: "astarte"}); !apierrors.IsForbidden(err) {
		t.Errorf("error = %v, want Forbidden", err)
	}
}
