// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// told is a guard.Operators that is told what to answer.
type told struct {
	mu    sync.Mutex
	users []string
	err   error
}

func (o *told) set(err error, users ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users, o.err = users, err
}

func (o *told) Of(context.Context, *profile.Operator) (guard.OperatorState, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return guard.OperatorState{Users: o.users}, o.err
}

func (o *told) Going(context.Context, schema.GroupResource) (bool, error) { return false, nil }

func TestFollower(t *testing.T) {
	t.Parallel()
	set := operatorOf(t, ofPlans)
	_, _, meta := newLive(t)
	operators, changed := &told{}, make(chan struct{}, 100)
	operators.set(errors.New("no answer"))
	f := &Follower{Profiles: set, Operators: operators, Metadata: meta, Changed: func() { changed <- struct{}{} }}
	if users, known := f.Users("billing"); known || len(users) != 0 {
		t.Errorf("before it looked: %v, %v", users, known)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Start(ctx) }()

	operators.set(nil, "a")
	wait(t, changed) // also without a change, after a look that failed
	if users, known := f.Users("billing"); !known || !slices.Equal(users, []string{"a"}) || !slices.Equal(f.Recall(set.Operators()[0]), []string{"a"}) {
		t.Errorf("users %v, %v", users, known)
	}
	if users, known := f.Users("other"); known || len(users) != 0 {
		t.Errorf("of a profile without operators: %v, %v", users, known)
	}

	operators.set(nil, "a", "b")
	if err := meta.Tracker().Add(crd(helm("flow"), "plans.billing.example")); err != nil {
		t.Fatal(err)
	}
	wait(t, changed)
	if users, _ := f.Users("billing"); !slices.Equal(users, []string{"a", "b"}) {
		t.Errorf("users %v after a change", users)
	}

	operators.set(nil)
	if !f.look(t.Context()) {
		t.Error("a look failed")
	}
	operators.set(errors.New("no answer"))
	if f.look(t.Context()) {
		t.Error("no answer is taken for one")
	}
	if users, known := f.Users("billing"); !known || len(users) != 2 {
		t.Errorf("forgotten while away: %v, %v", users, known)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Fatal("no change was told")
	}
}

// Most writes to a Deployment concern nobody here.
func TestConcern(t *testing.T) {
	t.Parallel()
	base := helm("flow")
	base.ResourceVersion, base.Generation = "1", 1
	look := func(edit func(*metav1.ObjectMeta)) any {
		o := &metav1.PartialObjectMetadata{ObjectMeta: *base.DeepCopy()}
		edit(&o.ObjectMeta)
		slim, err := marksOnly(o)
		if err != nil {
			t.Fatal(err)
		}
		return concern(slim)
	}
	same := func(a, b any) bool {
		x, y := a.(metav1.PartialObjectMetadata), b.(metav1.PartialObjectMetadata)
		return x.String() == y.String()
	}
	before := look(func(*metav1.ObjectMeta) {})
	if !same(before, look(func(m *metav1.ObjectMeta) {
		m.ResourceVersion = "2"
		m.Annotations["other"] = "x"
		m.Labels["other"] = "x"
	})) {
		t.Error("a change of status wakes it")
	}
	for name, edit := range map[string]func(*metav1.ObjectMeta){
		"spec":  func(m *metav1.ObjectMeta) { m.Generation = 2 },
		"owner": func(m *metav1.ObjectMeta) { m.Annotations["meta.helm.sh/release-name"] = "other" },
		"going": func(m *metav1.ObjectMeta) { m.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} },
		"label": func(m *metav1.ObjectMeta) { m.Labels["argocd.argoproj.io/instance"] = "flow" },
	} {
		if same(before, look(edit)) {
			t.Errorf("%s: a change that concerns operators does not wake it", name)
		}
	}
}
