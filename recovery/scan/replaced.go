// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// replacedSecret is a Secret that is another one than was saved, and has other content.
type replacedSecret struct {
	types.NamespacedName
	saved snapshot.Record
}

// readReplaced compares the Secrets that are there, in the namespaces of guarded
// objects, with what was saved of others of their names: an authority, a key or
// a credential that was made anew fits nothing that was made with the old one.
// Only those whose UID has changed are read.
func (s *Scanner) readReplaced(ctx context.Context, w *world) {
	seen := map[types.NamespacedName]bool{}
	for _, r := range w.records { // newest first
		name := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
		uid, live := w.secrets[name]
		if r.Problem != "" || r.Resource != "secrets" || !live || r.UID == uid || seen[name] {
			continue
		}
		if _, helms := releaseSecret(r.Name); helms {
			continue
		}
		seen[name] = true // the newest of another UID is what the live one has replaced
		differs, err := s.differs(ctx, name, r.ID)
		w.cannot("secrets "+name.String(), err)
		if differs {
			w.replaced = append(w.replaced, replacedSecret{name, r})
		}
	}
}

func (s *Scanner) differs(ctx context.Context, name types.NamespacedName, id string) (bool, error) {
	saved, err := s.Snapshots.Get(ctx, id)
	if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrNotFound) {
		return false, nil // a finding of its own, or gone by its retention
	}
	if err != nil {
		return false, err
	}
	live, err := s.Client.Resource(secretResource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	return !reflect.DeepEqual(live.Object["data"], saved.Object.Object["data"]), nil
}

// replaced finds Secrets that were made anew, with other content.
func replaced(w *world) []Finding {
	var found []Finding
	for _, r := range w.replaced {
		f := about(Critical, KindSecretReplaced, secretResource.GroupResource(), r.NamespacedName)
		f.Detail = fmt.Sprintf("it is not the one that was saved at %s, and has other content: what was made with the old key, certificate or credential does not fit it", r.saved.LastAt().UTC().Format(time.RFC3339))
		f.Mend = fmt.Sprintf("holdfast recovery diff %[1]s, then: holdfast recovery restore %[1]s --existing replace", r.saved.ID)
		found = append(found, f)
	}
	return found
}
