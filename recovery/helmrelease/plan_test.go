// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/release"
)

// revisions are "NUMBER STATUS".
func revisions(t *testing.T, texts ...string) []*release.Revision {
	t.Helper()
	var secrets []*corev1.Secret
	for _, text := range texts {
		var number int
		var status string
		if _, err := fmt.Sscan(text, &number, &status); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ops", Name: fmt.Sprint("sh.helm.release.v1.a.v", number), Labels: map[string]string{
				"owner": "helm", "name": "a", "status": status, "version": fmt.Sprint(number),
			}},
			Type: release.SecretType,
		})
	}
	return readAll(release.Key{Namespace: "ops", Name: "a"}, secrets)
}

func TestWhichRevisionComesBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		live, saved []string
		want        string // STATE NUMBER STATUS HISTORY
	}{
		"nothing is known":                               {nil, nil, "gone"},
		"gone, saved while it was deployed":              {nil, []string{"3 deployed", "2 superseded", "1 superseded"}, "gone 3 deployed [1 2]"},
		"gone, saved again while it went":                {nil, []string{"3 uninstalling", "3 deployed"}, "gone 3 deployed []"},
		"gone, an older one was deployed before":         {nil, []string{"1 deployed", "2 deployed"}, "gone 2 deployed [1]"},
		"gone, saved only while it went":                 {nil, []string{"1 uninstalling"}, "gone 1 uninstalling []"},
		"gone, an upgrade had failed":                    {nil, []string{"2 deployed", "3 failed"}, "gone 2 deployed []"},
		"deployed, and what is saved is older":           {[]string{"4 deployed"}, []string{"3 deployed"}, "deployed 4 deployed []"},
		"deployed, though a later upgrade failed":        {[]string{"1 deployed", "2 failed"}, nil, "deployed 1 deployed []"},
		"left uninstalling":                              {[]string{"1 superseded", "2 uninstalling"}, nil, "uninstalling 2 uninstalling []"},
		"left uninstalling, saved before":                {[]string{"2 uninstalling"}, []string{"2 deployed"}, "uninstalling 2 deployed []"},
		"left uninstalling, an older one is saved":       {[]string{"2 uninstalling"}, []string{"1 deployed"}, "uninstalling 2 uninstalling []"},
		"uninstalled, its history was kept":              {[]string{"2 uninstalled"}, nil, "uninstalling 2 uninstalled []"},
		"its only installation failed":                   {[]string{"1 failed"}, nil, "failed 1 failed []"},
		"an upgrade is at work":                          {[]string{"1 deployed", "2 pending-upgrade"}, []string{"1 deployed"}, "pending 2 pending-upgrade []"},
		"gone, and a Secret of another release is saved": {nil, nil, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &Plan{}
			p.choose(revisions(t, tc.live...), revisions(t, tc.saved...))
			got := string(p.State)
			if p.revision != nil {
				numbers := []int{}
				for _, r := range p.history {
					numbers = append(numbers, r.Number)
				}
				got += fmt.Sprint(" ", p.revision.Number, " ", p.revision.Status, " ", numbers)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompleted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status  map[string]any
		want    bool
		wantErr bool
	}{
		"nothing yet":        {nil, false, false},
		"a Pod runs":         {map[string]any{"phase": "Running"}, false, false},
		"a Pod is done":      {map[string]any{"phase": "Succeeded"}, true, false},
		"a Pod failed":       {map[string]any{"phase": "Failed"}, false, true},
		"a Job is done":      {map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}, true, false},
		"a Job is not done":  {map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "False"}}}, false, false},
		"a Job failed":       {map[string]any{"conditions": []any{map[string]any{"type": "Failed", "status": "True"}}}, false, true},
		"an odd condition":   {map[string]any{"conditions": []any{"odd"}}, false, false},
		"a Job is suspended": {map[string]any{"conditions": []any{map[string]any{"type": "Suspended", "status": "True"}}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := completed(&unstructured.Unstructured{Object: map[string]any{"kind": "Job", "status": tc.status}})
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("completed = %v, %v; want %v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestADefinitionThatIsStuckIsToldOf(t *testing.T) {
	t.Parallel()
	crd := func(kind, reason string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "metadata": map[string]any{"name": "oxen.farm.example", "deletionTimestamp": "2026-03-03T12:00:00Z"},
			"status": map[string]any{"conditions": []any{map[string]any{"type": "Terminating", "reason": reason, "message": "could not issue all deletes"}}},
		}}
	}
	for name, tc := range map[string]struct {
		live *unstructured.Unstructured
		want []string
	}{
		"it is on its way": {live: crd("CustomResourceDefinition", "InstanceDeletionInProgress")},
		"another kind":     {live: crd("Job", "InstanceDeletionFailed")},
		"it is stuck": {crd("CustomResourceDefinition", "InstanceDeletionFailed"), []string{
			`CustomResourceDefinition oxen.farm.example is Terminating and stuck (InstanceDeletionFailed: could not issue all deletes) and will be waited for; save its objects ('holdfast recovery snapshot'), then let them be deleted without the operator: kubectl patch crd oxen.farm.example --type=merge -p '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'`,
		}},
	} {
		p := &Plan{}
		o := p.add(tc.live)
		if err := (&Helm{}).judge(t.Context(), p, o, tc.live); err != nil || o.Presence != Going {
			t.Errorf("%s: %v, %v", name, o.Presence, err)
		}
		if diff := cmp.Diff(tc.want, p.Notes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
