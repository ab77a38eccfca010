// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/lately"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// approval is alice's for plan shop/gold, made at noon for 15 minutes, changed by edit.
func approval(name string, edit func(*v1alpha1.DeletionApproval)) *v1alpha1.DeletionApproval {
	a := &v1alpha1.DeletionApproval{
		TypeMeta:   metav1.TypeMeta{APIVersion: "holdfast.dev/v1alpha1", Kind: "DeletionApproval"},
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon), ResourceVersion: "1"},
		Spec: v1alpha1.DeletionApprovalSpec{
			Resource: "plans.billing.example", Namespace: "shop", Name: "gold", UID: "u-1",
			Operation: "delete", Reason: "sold out", ValidFor: "15m", ApprovedBy: "alice",
		},
	}
	if edit != nil {
		edit(a)
	}
	return a
}

// ask is bob's deletion of that plan.
func ask() Ask {
	return Ask{
		Resource: schema.GroupResource{Group: "billing.example", Resource: "plans"}, Namespace: "shop", Name: "gold", UID: "u-1",
		Operation: "delete", User: "bob", RequestUID: "r-1",
	}
}

// newStore holds those approvals, at that time. Like the API server it lets
// only one of two writers of the same version win.
func newStore(t *testing.T, now time.Time, all ...*v1alpha1.DeletionApproval) (*Store, *fake.FakeDynamicClient) {
	t.Helper()
	var objects []runtime.Object
	for _, a := range all {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{Resource(): "DeletionApprovalList"}, objects...)
	var mu sync.Mutex
	client.PrependReactor("update", "deletionapprovals", func(action k8stesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		object := action.(k8stesting.UpdateAction).GetObject().(*unstructured.Unstructured)
		live, err := client.Tracker().Get(Resource(), "", object.GetName())
		if err != nil {
			return true, nil, err
		}
		version := live.(*unstructured.Unstructured).GetResourceVersion()
		if version != object.GetResourceVersion() {
			return true, nil, apierrors.NewConflict(Resource().GroupResource(), object.GetName(), errors.New("changed"))
		}
		object.SetResourceVersion(version + "0")
		return true, object, client.Tracker().Update(Resource(), object, "")
	})
	return &Store{Client: client, Now: func() time.Time { return now }}, client
}

func used(by string, at time.Time) func(*v1alpha1.DeletionApproval) {
	return func(a *v1alpha1.DeletionApproval) {
		a.Status = v1alpha1.DeletionApprovalStatus{ConsumedAt: &metav1.Time{Time: at}, ConsumedBy: by, RequestUID: "r-0"}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	spec := func(edit func(*v1alpha1.DeletionApprovalSpec)) func(*v1alpha1.DeletionApproval) {
		return func(a *v1alpha1.DeletionApproval) { edit(&a.Spec) }
	}
	release := spec(func(s *v1alpha1.DeletionApprovalSpec) {
		s.Resource, s.Namespace, s.Name, s.UID, s.Operation = "release", "ops", "billing", "", "uninstall"
	})
	ofRelease := func(k *Ask) { k.Release = types.NamespacedName{Namespace: "ops", Name: "billing"} }
	tests := map[string]struct {
		reason string
		after  time.Duration // since noon
		edit   func(*v1alpha1.DeletionApproval)
		ask    func(*Ask)
		counts bool
		want   string // in what speaks against it; "none" that it is not about the object
	}{
		"counts":                      {counts: true},
		"counts until its last":       {after: 15*time.Minute - time.Second, counts: true},
		"expired":                     {after: 15 * time.Minute, want: "Approval a does not count: it expired at 2026-01-02T12:15:00Z"},
		"the clock here is behind":    {reason: "as long as it is no wrong clock", after: -time.Minute, counts: true},
		"the clock here is wrong":     {after: -61 * time.Second, want: "must be put right"},
		"valid for too long":          {reason: "whatever the schema let through", edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.ValidFor = "25h" }), want: `validFor "25h"`},
		"valid for nonsense":          {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.ValidFor = "soon" }), want: `validFor "soon"`},
		"another object":              {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.Name = "silver" }), want: "none"},
		"another namespace":           {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.Namespace = "mall" }), want: "none"},
		"another resource":            {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.Resource = "plans.other.example" }), want: "none"},
		"another UID":                 {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.UID = "u-0" }), want: "it is for another object of that name, with UID u-0"},
		"no UID":                      {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.UID = "" }), ask: func(k *Ask) { k.UID = "" }, want: "another object"},
		"another operation":           {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.Operation = "strip-finalizers" }), want: "it is for the operation strip-finalizers, and this is delete"},
		"finalizers":                  {edit: spec(func(s *v1alpha1.DeletionApprovalSpec) { s.Operation = "strip-finalizers" }), ask: func(k *Ask) { k.Operation = "strip-finalizers" }, counts: true},
		"used by somebody else":       {edit: used("eve", noon), want: "eve used it at 2026-01-02T12:00:00Z"},
		"used by the same user":       {reason: "the API server's retry", after: 10 * time.Second, edit: used("bob", noon), counts: true},
		"used by the same, long ago":  {after: 11 * time.Second, edit: used("bob", noon), want: "bob used it"},
		"own, distinct demanded":      {ask: func(k *Ask) { k.User, k.Distinct, k.Profile = "alice", true, "profile billing" }, want: "alice gave it, and profile billing demands that somebody else uses it"},
		"another's, distinct":         {ask: func(k *Ask) { k.Distinct = true }, counts: true},
		"own":                         {ask: func(k *Ask) { k.User = "alice" }, counts: true},
		"the release it belongs to":   {edit: release, ask: ofRelease, counts: true},
		"a release of another place":  {edit: release, ask: func(k *Ask) { k.Release = types.NamespacedName{Namespace: "other", Name: "billing"} }, want: "none"},
		"a release, of no release":    {edit: release, want: "none"},
		"a release, for finalizers":   {reason: "uninstalling deletes", edit: release, ask: func(k *Ask) { ofRelease(k); k.Operation = "strip-finalizers" }, want: "none"},
		"a release, long after a use": {reason: "it covers the whole operation", after: time.Minute, edit: func(a *v1alpha1.DeletionApproval) { release(a); used("eve", noon)(a) }, ask: ofRelease, counts: true},
		"a release, expired":          {after: time.Hour, edit: release, ask: ofRelease, want: "it expired"},
		"a release, own, distinct":    {edit: release, ask: func(k *Ask) { ofRelease(k); k.User, k.Distinct = "alice", true }, want: "alice gave it"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := newStore(t, noon.Add(tc.after), approval("a", tc.edit))
			k := ask()
			if tc.ask != nil {
				tc.ask(&k)
			}
			got, against, err := store.Find(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			if (got != nil) != tc.counts {
				t.Errorf("counts = %t, want %t (%s): %s", got != nil, tc.counts, tc.reason, against)
			}
			if tc.want == "none" && against != "" || tc.want != "none" && !strings.Contains(against, tc.want) || tc.counts && against != "" {
				t.Errorf("against it: %q, want %q", against, tc.want)
			}
		})
	}
}

func TestFindAmongMany(t *testing.T) {
	t.Parallel()
	later := func(a *v1alpha1.DeletionApproval) { a.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute)) }
	store, _ := newStore(t, noon.Add(2*time.Minute), approval("used", used("eve", noon)), approval("good", later))
	got, _, err := store.Find(t.Context(), ask())
	if err != nil || got == nil || got.Name != "good" {
		t.Errorf("found %v, %v", got, err)
	}

	// A retry takes the one it has used, and leaves the other for later.
	store, _ = newStore(t, noon, approval("fresh", later), approval("mine", used("bob", noon)))
	if got, _, err = store.Find(t.Context(), ask()); err != nil || got == nil || got.Name != "mine" {
		t.Errorf("found %v, %v", got, err)
	}

	store, _ = newStore(t, noon.Add(time.Hour), approval("first", nil), approval("second", later))
	_, against, err := store.Find(t.Context(), ask())
	if err != nil || against != "Approval second does not count: it expired at 2026-01-02T12:16:00Z (and 1 more do not count)" {
		t.Errorf("against them: %q, %v", against, err)
	}

	// One that was meant for this before a newer one that was not.
	beside := func(a *v1alpha1.DeletionApproval) { later(a); a.Spec.Operation = "strip-finalizers" }
	store, _ = newStore(t, noon.Add(2*time.Minute), approval("beside", beside), approval("used", used("eve", noon)))
	_, against, err = store.Find(t.Context(), ask())
	if err != nil || against != "Approval used does not count: eve used it at 2026-01-02T12:00:00Z (and 1 more do not count)" {
		t.Errorf("against them: %q, %v", against, err)
	}
}

func TestFindFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		err     error
		wantErr bool
	}{
		"no definition": {apierrors.NewNotFound(Resource().GroupResource(), ""), false},
		"no right":      {apierrors.NewForbidden(Resource().GroupResource(), "", nil), true},
	} {
		store, client := newStore(t, noon, approval("a", nil))
		client.PrependReactor("list", "deletionapprovals", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, fault.err })
		got, against, err := store.Find(t.Context(), ask())
		if got != nil || against != "" || (err != nil) != fault.wantErr {
			t.Errorf("%s: %v, %q, %v", name, got, against, err)
		}
	}
}

// That there is none for an object is remembered for a moment; what is there is
// read each time.
func TestFindReadsWhatConcerns(t *testing.T) {
	t.Parallel()
	store, client := newStore(t, noon, approval("a", nil))
	lists := 0
	client.PrependReactor("list", "deletionapprovals", func(k8stesting.Action) (bool, runtime.Object, error) {
		lists++
		return false, nil, nil
	})
	at := time.Now()
	store.lately.Now = func() time.Time { return at }
	other := ask()
	other.Name = "other"
	for _, step := range []struct {
		name  string
		after time.Duration
		ask   Ask
		lists int
		found bool
	}{
		{"the first for another object", 0, other, 1, false},
		{"the next is spared", lately.For, other, 1, false},
		{"one for this object is read at once", 0, ask(), 2, true},
		{"again, as it may be used meanwhile", 0, ask(), 3, true},
		{"another object later", 2 * lately.For, other, 4, false},
	} {
		at = at.Add(step.after)
		got, _, err := store.Find(t.Context(), step.ask)
		if err != nil || (got != nil) != step.found || lists != step.lists {
			t.Errorf("%s: got %v, %v after %d lists, want found %t after %d", step.name, got, err, lists, step.found, step.lists)
		}
	}
}

// Of many users at two replicas one gets it.
func TestConsumeOnce(t *testing.T) {
	t.Parallel()
	store, client := newStore(t, noon.Add(time.Minute), approval("a", nil))
	var passed, taken atomic.Int32
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			k := ask()
			k.User = fmt.Sprintf("user-%d", i)
			a := approval("a", nil) // as every one of them has read it
			switch err := store.Consume(t.Context(), a, k); {
			case err == nil:
				passed.Add(1)
			case errors.Is(err, ErrTaken):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if passed.Load() != 1 || taken.Load() != 49 {
		t.Errorf("%d passed, %d came too late", passed.Load(), taken.Load())
	}
	live, err := client.Resource(Resource()).Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := decode(live)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Status.ConsumedAt.Time.Equal(noon.Add(time.Minute)) || !strings.HasPrefix(a.Status.ConsumedBy, "user-") || a.Status.RequestUID != "r-1" {
		t.Errorf("status = %+v", a.Status)
	}
}

func TestConsumeLeavesWhatCovers(t *testing.T) {
	t.Parallel()
	namespace := approval("a", func(a *v1alpha1.DeletionApproval) {
		a.Spec.Resource, a.Spec.Namespace, a.Spec.Name = "namespaces", "", "shop"
	})
	store, client := newStore(t, noon, namespace)
	if err := store.Consume(t.Context(), namespace, ask()); err != nil {
		t.Fatal(err)
	}
	if err := store.Consume(t.Context(), approval("a", used("bob", noon)), ask()); err != nil {
		t.Fatal(err)
	}
	if actions := client.Actions(); len(actions) > 0 {
		t.Errorf("it was written: %v", actions)
	}
}

func TestConsumeFaults(t *testing.T) {
	t.Parallel()
	store, client := newStore(t, noon)
	if err := store.Consume(t.Context(), approval("gone", nil), ask()); !errors.Is(err, ErrTaken) {
		t.Errorf("an approval that was taken back: %v", err)
	}
	client.PrependReactor("update", "deletionapprovals", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("no answer"))
	})
	if err := store.Consume(t.Context(), approval("a", nil), ask()); err == nil || errors.Is(err, ErrTaken) {
		t.Errorf("no answer: %v", err)
	}
}
