// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// Saved are the Secrets of a release that are among the snapshots, in all of
// their versions. Damaged snapshots are left out if others are there.
func Saved(ctx context.Context, store *snapshot.Store, key release.Key) ([]*corev1.Secret, error) {
	records, err := store.List(ctx, snapshot.Filter{Resource: schema.GroupResource{Resource: "secrets"}, Namespace: key.Namespace})
	if err != nil {
		return nil, fmt.Errorf("look for saved revisions of Helm release %q: %w", key, err)
	}
	var saved []*corev1.Secret
	var damaged error
	for i := range records {
		if !strings.HasPrefix(records[i].Name, "sh.helm.release.v1."+key.Name+".v") {
			continue
		}
		snap, err := store.Get(ctx, records[i].ID)
		if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrNotFound) {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read saved revisions of Helm release %q: %w", key, err)
		}
		secret := &corev1.Secret{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(snap.Object.Object, secret); err != nil {
			damaged = errors.Join(damaged, fmt.Errorf("snapshot %s: %w", records[i].ID, err))
			continue
		}
		saved = append(saved, secret)
	}
	if len(saved) == 0 && damaged != nil {
		return nil, fmt.Errorf("read saved revisions of Helm release %q: %w", key, damaged)
	}
	return saved, nil
}
