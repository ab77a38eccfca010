// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/release"
)

func TestLatestLife(t *testing.T) {
	t.Parallel()
	// Each revision is number@minute/uid, as it may be found.
	for found, want := range map[string]string{
		"":                              "",
		"1@0/a 2@1/b":                   "1a 2b",
		"2@1/b 1@0/a":                   "1a 2b",
		"1@0/a 2@1/b 2@1/b":             "1a 2b 2b",
		"1@0/a 2@1/b 1@9/c":             "1c",
		"1@9/c 1@0/a":                   "1c",
		"5@0/a 6@1/b 1@2/c 2@3/d 3@4/e": "1c 2d 3e",
	} {
		var revisions []*release.Revision
		for _, text := range strings.Fields(found) {
			var number, minute int
			var uid string
			if _, err := fmt.Sscanf(strings.NewReplacer("@", " ", "/", " ").Replace(text), "%d %d %s", &number, &minute, &uid); err != nil {
				t.Fatal(err)
			}
			r, ok := release.Read(&corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					UID: types.UID(uid), Labels: map[string]string{"owner": "helm", "name": "shop", "version": fmt.Sprint(number)},
					CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)),
				},
				Type: release.SecretType,
			})
			if !ok {
				t.Fatal("no revision: " + text)
			}
			revisions = append(revisions, r)
		}
		var got []string
		for _, r := range latestLife(revisions) {
			got = append(got, fmt.Sprintf("%d%s", r.Number, r.Secret().UID))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %q: %v, want %s", found, got, want)
		}
	}
}
