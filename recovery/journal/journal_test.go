// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var clock = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

func other() Holder { return Holder{User: "eve", Host: "elsewhere", Process: 7} }

func newKeeper(t *testing.T, kube *fake.Clientset) *Keeper {
	t.Helper()
	versioned(kube)
	return &Keeper{Kube: kube, Namespace: "holdfast-system", Dir: t.TempDir(), Self: Self("alice"), Now: func() time.Time { return clock }}
}

// versioned gives Secrets versions and refuses updates of old ones, as a server does.
func versioned(kube *fake.Clientset) {
	n := 0
	stamp := func(action clienttesting.Action) (bool, runtime.Object, error) {
		secret := action.(interface{ GetObject() runtime.Object }).GetObject().(*corev1.Secret)
		if action.GetVerb() == "update" {
			old, err := kube.Tracker().Get(action.GetResource(), secret.Namespace, secret.Name)
			if err != nil {
				return true, nil, err
			}
			if old.(*corev1.Secret).ResourceVersion != secret.ResourceVersion {
				return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), secret.Name, nil)
			}
		}
		n++
		secret.ResourceVersion = strconv.Itoa(n)
		return false, nil, nil
	}
	kube.PrependReactor("create", "secrets", stamp)
	kube.PrependReactor("update", "secrets", stamp)
}

func open(t *testing.T, k *Keeper) *Journal {
	t.Helper()
	j, _, err := k.Open(t.Context(), "rescue", "x", "holdfast recovery undo x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.rest)
	return j
}

func TestWhatWasDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, fake.NewClientset())
	j := open(t, k)
	boom := errors.New("boom")
	if err := j.Do(t.Context(), "one", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := j.Do(t.Context(), "two", func(context.Context) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("error = %v, want that of the step", err)
	}
	if err := j.Remember(t.Context(), "key", []string{"value"}); err != nil {
		t.Fatal(err)
	}
	j.Leave(t.Context())

	j = open(t, k)
	if err := j.Do(t.Context(), "one", func(context.Context) error { return errors.New("done twice") }); err != nil {
		t.Fatal(err)
	}
	if !j.Began("two") || j.Did("two") || j.Began("three") {
		t.Fatalf("steps = %+v, want two begun and not ended", j.state.Steps)
	}
	var value []string
	if ok, err := j.Recall("key", &value); !ok || err != nil || value[0] != "value" {
		t.Fatalf("recalled %v, %v, %v", value, ok, err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open, err := k.Unfinished(t.Context()); err != nil || len(open) != 0 {
		t.Fatalf("unfinished = %v, %v, want none", open, err)
	}
	if j = open(t, k); j.Began("one") {
		t.Fatal("what was ended is taken up again")
	}
}

func TestASecondRunIsToldWhoIsAtWork(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, fake.NewClientset())
	open(t, k)
	second := *k
	second.Self, second.Dir = other(), t.TempDir()
	second.Now = func() time.Time { return clock.Add(patience - time.Second) }
	_, _, err := second.Open(t.Context(), "rescue", "x", "")
	var busy *BusyError
	if !errors.As(err, &busy) {
		t.Fatalf("error = %v, want a BusyError", err)
	}
	for _, want := range []string{"the rescue of x: alice (process ", "since 2026-03-03T12:00:00Z", "last sign of life at 2026-03-03T12:00:00Z"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %q, want %q in it", err, want)
		}
	}
}

func TestTheDeadAreTakenOverFrom(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	gone := Self("eve")
	gone.Process = child.Process.Pid
	for name, tc := range map[string]struct {
		holder Holder
		later  time.Duration
	}{
		"elsewhere, without a sign of life for long": {other(), patience},
		"here, and known to be gone":                 {gone, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKeeper(t, fake.NewClientset())
			first := *k
			first.Self, first.Dir = tc.holder, t.TempDir()
			old, lost, err := first.Open(t.Context(), "rescue", "x", "")
			if err != nil {
				t.Fatal(err)
			}
			k.Now = func() time.Time { return clock.Add(tc.later) }
			j := open(t, k)
			if j.state.Holder != k.Self || !j.state.Begun.Equal(clock) {
				t.Fatalf("state = %+v, want the same work by this process", j.state)
			}
			if err := old.Remember(t.Context(), "late", 1); !errors.Is(err, errChanged) {
				t.Fatalf("the one who lost it wrote: %v", err)
			}
			<-lost.Done()
			old.rest()
		})
	}
}

func TestWhatIsSetAsideIsRememberedUntilItIsBack(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, fake.NewClientset())
	j := open(t, k)
	for _, a := range []Aside{{Name: "a", Before: []byte(`1`)}, {Name: "b", Before: []byte(`2`)}, {Name: "a", Before: []byte(`3`)}} {
		if err := j.SetAside(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	j.Leave(t.Context())
	j = open(t, k)
	aside := j.Aside()
	if len(aside) != 2 || aside[0].Name != "b" || string(aside[1].Before) != "1" {
		t.Fatalf("aside = %+v, want b, then a as it was first", aside)
	}
	for _, a := range aside {
		if err := j.PutBack(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if left := j.Aside(); len(left) != 0 {
		t.Fatalf("aside = %+v, want nothing", left)
	}
}

func TestTheFileRemembersWhenTheNamespaceIsGone(t *testing.T) {
	t.Parallel()
	kube := fake.NewClientset()
	k := newKeeper(t, kube)
	gone := true
	// The reactors of the fake run newest first; the namespace goes before all.
	kube.PrependReactor("*", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if gone {
			return true, nil, apierrors.NewNotFound(corev1.Resource("namespaces"), "holdfast-system")
		}
		return false, nil, nil
	})
	j := open(t, k)
	if err := j.Do(t.Context(), "one", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	j.Leave(t.Context())
	j = open(t, k)
	if !j.Did("one") {
		t.Fatal("the step is forgotten")
	}
	info, err := os.Stat(k.path(j.name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file = %v, %v, want one for the user alone", info, err)
	}
	// It comes back while the work goes on.
	gone = false
	if err := j.Do(t.Context(), "two", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := kube.CoreV1().Secrets("holdfast-system").Get(t.Context(), j.name, metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsDoneThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	kube := fake.NewClientset()
	k := newKeeper(t, kube)
	j := open(t, k)
	kube.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no answer")
	})
	err := j.Do(t.Context(), "one", func(context.Context) error { t.Error("done all the same"); return nil })
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Fatalf("error = %v", err)
	}
}
