// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"crypto/rand"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// KeySecret is the Secret that holds the key of the IDs.
	KeySecret = "holdfast-digest-key"

	keyField  = "key"
	keyLength = 32
)

// digestKey is the key of the IDs, made by whoever needs it first. Losing it
// loses no snapshot: the same versions are then saved again under other IDs.
func (s *Store) digestKey(ctx context.Context) ([]byte, error) {
	s.keyLock.Lock()
	defer s.keyLock.Unlock()
	if s.key != nil {
		return s.key, nil
	}
	secret, err := s.secrets().Get(ctx, KeySecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = s.createKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("get digest key: %w", err)
	}
	key := secret.Data[keyField]
	if len(key) != keyLength {
		return nil, fmt.Errorf("get digest key: Secret %q in namespace %q holds no key of %d bytes; delete it, and a new one is made", KeySecret, s.namespace, keyLength)
	}
	s.key = key
	return key, nil
}

// createKey makes a key; of several that do so at once, all take the first's.
func (s *Store) createKey(ctx context.Context) (*corev1.Secret, error) {
	key := make([]byte, keyLength)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	secret, err := s.secrets().Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: KeySecret, Labels: map[string]string{labelManagedBy: "holdfast"}},
		Immutable:  ptr.To(true),
		Data:       map[string][]byte{keyField: key},
	}, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return s.secrets().Get(ctx, KeySecret, metav1.GetOptions{})
	}
	return secret, err
}
