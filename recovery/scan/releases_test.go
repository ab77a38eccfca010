// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const operated = billing + "  operators: [{release: {ofCRDs: [plans.billing.example]}}]\n"

// mends are the findings of judge, each by its kind, detail and mend.
func mends(findings []Finding) string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, string(f.Severity)+" "+string(f.Kind)+" "+f.String()+": "+f.Detail+" -> "+f.Mend)
	}
	return strings.Join(lines, "\n")
}

func TestReleases(t *testing.T) {
	t.Parallel()
	shop := helmRelease{Key: release.Key{Namespace: "ops", Name: "shop"}, revision: 3, status: release.Deployed, deployments: 1}
	with := func(change func(*helmRelease)) helmRelease { r := shop; change(&r); return r }
	for name, tc := range map[string]struct {
		release helmRelease
		going   bool
		want    string
	}{
		"deployed":     {release: shop},
		"uninstalling": {release: with(func(r *helmRelease) { r.status = release.Uninstalling }), want: "critical release-unsettled release ops/shop: its uninstallation began and did not end (revision 3 is uninstalling); the next 'helm uninstall' goes on with it -> holdfast recovery restore release shop -n ops"},
		"failed":       {release: with(func(r *helmRelease) { r.status = release.Failed }), want: "warning release-unsettled release ops/shop: its latest revision, 3, is failed: not all of it may be there -> helm history shop -n ops, then: helm rollback shop -n ops"},
		"pending":      {release: with(func(r *helmRelease) { r.status = release.PendingUpgrade }), want: "warning release-unsettled release ops/shop: its latest revision, 3, is pending-upgrade: Helm is at work on it, or was stopped while it was -> wait for Helm; if nobody runs it: helm rollback shop -n ops"},
		"gone": {
			release: with(func(r *helmRelease) { r.revision, r.status, r.deployments = 0, "", 0 }),
			want:    "critical operator-gone release ops/shop: it has no Deployment: the operator of 1 instance of plans.billing.example is gone, nobody looks after them, and they must not be deleted -> holdfast recovery restore release shop -n ops",
		},
		"gone, and its definition goes": {
			release: with(func(r *helmRelease) { r.revision, r.status, r.deployments = 0, "", 0 }), going: true,
			want: "critical operator-gone release ops/shop: it has no Deployment: the operator of 1 instance of plans.billing.example is gone, nobody looks after them, and they must not be deleted -> bring back what is Terminating, and the operator with it: holdfast recovery undo plans.billing.example gold -n shop",
		},
		"deployed without a Deployment": {
			release: with(func(r *helmRelease) { r.deployments = 0 }),
			want:    "critical operator-gone release ops/shop: it has no Deployment: the operator of 1 instance of plans.billing.example is gone, nobody looks after them, and they must not be deleted -> see why it has none: helm status shop -n ops",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := picture(t, func(w *world, k *kind) {
				parsed, err := profile.Parse([]byte(operated))
				if err != nil {
					t.Fatal(err)
				}
				if w.profiles, err = profile.NewSet(parsed...); err != nil {
					t.Fatal(err)
				}
				if tc.going {
					k.definition.DeletionTimestamp = &metav1.Time{Time: noon}
					for _, o := range k.objects {
						o.terminating = &noon
					}
				}
				r := tc.release
				r.definitions = []*kind{k}
				w.releases = []*helmRelease{&r}
			})
			if got := mends(append(unsettled(w), operatorsGone(w)...)); got != tc.want {
				t.Errorf("found:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

func TestNobodyIsToldToInstallTooEarly(t *testing.T) {
	t.Parallel()
	w := picture(t, func(w *world, k *kind) {
		k.definition.DeletionTimestamp = &metav1.Time{Time: noon}
		for _, o := range k.objects {
			o.terminating = &noon
		}
		offers := &kind{resource: k.resource, objects: nil}
		offers.resource.Resource = "offers"
		w.kinds[offers.resource] = offers
		w.records = []snapshot.Record{{ID: "abc", Resource: "offers.billing.example", Namespace: "shop", Name: "gold"}}
	})
	got := definitions(w)
	if len(got) != 2 {
		t.Fatalf("found:\n%s", mends(got))
	}
	for i, want := range []string{
		"do not install its operator yet: bring back first what is Terminating, and the operator with it: holdfast recovery undo plans.billing.example gold -n shop",
		"do not start the operator yet: it would finish the deletion. Bring the objects back first: holdfast recovery undo plans.billing.example gold -n shop",
	} {
		if got[i].Mend != want {
			t.Errorf("mend %q, want %q", got[i].Mend, want)
		}
	}
	report := &Report{Findings: append(got, Finding{Severity: Critical, Kind: KindTerminating})}
	report.sort()
	if report.Findings[0].Kind != KindTerminating || report.Findings[2].Kind != KindCRDMissing {
		t.Errorf("what can still be saved does not come first:\n%s", mends(report.Findings))
	}
}

func TestReleaseSecret(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{"sh.helm.release.v1.shop.v3": "shop", "sh.helm.release.v1.a.vb.v12": "a.vb", "sh.helm.release.v1..v1": "", "other": ""} {
		if got, ok := releaseSecret(secret); got != want || ok != (want != "") {
			t.Errorf("releaseSecret(%q) = %q, %t, want %q", secret, got, ok, want)
		}
	}
}

func TestGoneThings(t *testing.T) {
	t.Parallel()
	record := snapshot.Record{ID: "abc", Resource: "plans.billing.example", Namespace: "shop", Name: "silver", SavedAt: noon, StateAt: noon, State: snapshot.StateDeleted, Bypass: true}
	for name, tc := range map[string]struct {
		change func(*world)
		judge  func(*world) []Finding
		want   string
	}{
		"went past Holdfast": {
			change: func(w *world) { w.records = []snapshot.Record{record} }, judge: missingSaved,
			want: "critical bypassed plans.billing.example shop/silver: it went without Holdfast being asked, and was noticed at 2026-01-02T12:00:00Z; its last state is of 2026-01-02T12:00:00Z -> holdfast recovery restore abc",
		},
		"must not come back without its keys": {
			change: func(w *world) {
				w.records, w.sets = []snapshot.Record{record}, map[types.UID]string{record.UID: "xyz"}
			}, judge: missingSaved,
			want: "critical bypassed plans.billing.example shop/silver: it went without Holdfast being asked, and was noticed at 2026-01-02T12:00:00Z; its last state is of 2026-01-02T12:00:00Z -> holdfast recovery restore --set xyz",
		},
		"was kept by a tool": {
			change: func(w *world) { w.managed = []managedObject{{"Argo CD application shop", record}} }, judge: managers,
			want: "warning managed plans.billing.example shop/silver: it is gone and was kept by Argo CD application shop, which may have pruned it, and would do so again, or create it anew without its status -> put it back where that takes it from, or suspend that, then: holdfast recovery restore abc",
		},
		"a Secret was made anew": {
			change: func(w *world) {
				w.replaced = []replacedSecret{{types.NamespacedName{Namespace: "shop", Name: "ca"}, snapshot.Record{ID: "def", SavedAt: noon}}}
			}, judge: replaced,
			want: "critical secret-replaced secrets shop/ca: it is not the one that was saved at 2026-01-02T12:00:00Z, and has other content: what was made with the old key, certificate or credential does not fit it -> holdfast recovery diff def, then: holdfast recovery restore def --existing replace",
		},
		"a rescue did not end": {
			change: func(w *world) {
				w.unfinished = []*journal.State{{Operation: "rescue", Target: "plans.billing.example", Command: "holdfast recovery undo x", Begun: noon, Steps: []journal.Step{{Name: "freeze shop/gold"}}, Aside: []journal.Aside{{Name: "a"}, {Name: "b", Back: true}}}}
			}, judge: unfinished,
			want: "critical recovery-unfinished rescue plans.billing.example: it was begun at 2026-01-02T12:00:00Z and did not end; its last step was \"freeze shop/gold\"; 1 thing is to be put back by it -> holdfast recovery undo x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := picture(t, func(w *world, _ *kind) { tc.change(w) })
			if got := mends(tc.judge(w)); got != tc.want {
				t.Errorf("found:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}
