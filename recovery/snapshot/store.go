// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
)

const (
	fieldManager = "holdfast"
	// saveTries bounds how often a save starts over because the Secret in its
	// place was removed or found damaged meanwhile.
	saveTries = 5
)

// Store keeps snapshots as Secrets of one namespace.
type Store struct {
	kube      kubernetes.Interface
	metadata  metadata.Interface
	namespace string
	now       func() time.Time
	codec     *codec

	keyLock sync.Mutex
	key     []byte
}

// NewStore is a store in namespace, which must exist before something is saved.
func NewStore(kube kubernetes.Interface, meta metadata.Interface, namespace string, now func() time.Time) (*Store, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Store{kube: kube, metadata: meta, namespace: namespace, now: now, codec: codec}, nil
}

// Namespace is where the snapshots are.
func (s *Store) Namespace() string { return s.namespace }

// Prepare makes what the first Save would make besides its snapshot. Callers
// that answer requests do it ahead of them.
func (s *Store) Prepare(ctx context.Context) error {
	_, err := s.digestKey(ctx)
	return err
}

// ID is the ID under which Save would store obj.
func (s *Store) ID(ctx context.Context, obj *unstructured.Unstructured) (string, error) {
	key, err := s.digestKey(ctx)
	if err != nil {
		return "", err
	}
	content, err := canonical(obj)
	if err != nil {
		return "", err
	}
	return identity(key, string(obj.GetUID()), content), nil
}

// Save stores obj, an object of resource gr as the API server gave it out. When it returns
// without error, a readable snapshot of exactly this UID and content is there.
// A version that is new costs one write; one that is there already is read
// back and verified, replaced if it is damaged, and p is noted as the latest
// attempt. ErrTooLarge means that obj can never be stored.
func (s *Store) Save(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured, p Provenance) (Record, error) {
	if obj.GetUID() == "" || obj.GetName() == "" {
		return Record{}, errors.New("save snapshot: the object has no uid or no name")
	}
	key, err := s.digestKey(ctx)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	content, err := canonical(obj)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	raw, err := obj.MarshalJSON()
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: encode object: %w", err)
	}
	record := newRecord(gr, obj, p)
	record.ID = identity(key, string(obj.GetUID()), content)
	record.SavedAt = s.now().UTC().Truncate(time.Millisecond)
	record.Size = len(raw)
	record.setStatus(status{State: cmp.Or(p.State, firstState(p.Operation)), At: record.SavedAt, Bypass: p.Bypass})
	if p.Journal != nil {
		journal := *p.Journal
		journal.At = record.SavedAt
		record.Journal = &journal
	}
	record, err = s.write(ctx, record, raw, content)
	if err != nil {
		return Record{}, fmt.Errorf("save snapshot: %w", err)
	}
	return record, nil
}

// write creates the Secret of record, or makes sure that the one in its place is as good.
func (s *Store) write(ctx context.Context, record Record, raw, content []byte) (Record, error) {
	secret, err := s.codec.encode(record, raw)
	if err != nil {
		return Record{}, err
	}
	for range saveTries {
		_, err := s.secrets().Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
		if err == nil {
			return record, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return Record{}, err
		}
		old, err := s.secret(ctx, record.ID)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return Record{}, err
		}
		existing, err := s.sound(old, content)
		if err == nil {
			return s.noteAttempt(ctx, *existing, record)
		}
		if !errors.Is(err, ErrDamaged) {
			return Record{}, err
		}
		done, err := s.replace(ctx, old, secret)
		if done || err != nil {
			return record, err
		}
	}
	return Record{}, fmt.Errorf("gave up after %d tries: somebody else keeps writing to Secret %q", saveTries, secret.Name)
}

// sound is the record of a Secret that holds this very content; otherwise the
// error is an ErrDamaged.
func (s *Store) sound(secret *corev1.Secret, content []byte) (*Record, error) {
	if secret.Type != SecretType {
		return nil, fmt.Errorf("secret %q in namespace %q is in the way and no snapshot; remove or rename it", secret.Name, s.namespace)
	}
	snap, err := s.codec.decode(secret)
	if err != nil {
		return nil, err
	}
	stored, err := canonical(snap.Object)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(stored, content) {
		return nil, fmt.Errorf("%w: %s: it holds another version than its name says", ErrDamaged, snap.ID)
	}
	return &snap.Record, nil
}

// replace puts secret in the place of old, which is damaged, in one write; a
// recovery that began from old is still noted on it. It reports false if
// somebody else was quicker.
func (s *Store) replace(ctx context.Context, old, secret *corev1.Secret) (bool, error) {
	mended := secret.DeepCopy()
	mended.ResourceVersion = old.ResourceVersion
	if _, has := mended.Annotations[annotationJournal]; !has && old.Annotations[annotationJournal] != "" {
		mended.Annotations[annotationJournal] = old.Annotations[annotationJournal]
	}
	_, err := s.secrets().Update(ctx, mended, metav1.UpdateOptions{FieldManager: fieldManager})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil
	default:
		return false, fmt.Errorf("replace damaged snapshot: %w; if that cannot be mended, delete Secret %q in namespace %q", err, secret.Name, s.namespace)
	}
}

// noteAttempt notes on an existing snapshot who tried last, and the journal if
// there is one. The version is safe whether the attempt can be noted or not, so
// trouble with that is only logged; a journal must be there.
func (s *Store) noteAttempt(ctx context.Context, existing, latest Record) (Record, error) {
	attempt := &Attempt{
		Operation: latest.Operation, User: latest.User, RequestUID: latest.RequestUID,
		Reason: latest.Reason, Approval: latest.Approval, At: latest.SavedAt,
	}
	notes := map[string]any{annotationAttempt: attempt}
	if existing.State.follows(latest.State) {
		// It may be older than the latest version otherwise, or wrong by now.
		notes[annotationState] = latest.status()
	}
	if latest.Journal != nil {
		notes[annotationJournal] = latest.Journal
	}
	err := s.annotate(ctx, existing.ID, notes)
	if err != nil && latest.Journal != nil {
		return Record{}, fmt.Errorf("write journal of snapshot %s: %w", existing.ID, err)
	}
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "Latest attempt not noted", "snapshot", existing.ID)
		return existing, nil
	}
	existing.LastAttempt = attempt
	if notes[annotationState] != nil {
		existing.setStatus(*latest.status())
	}
	if latest.Journal != nil {
		existing.Journal = latest.Journal
	}
	return existing, nil
}

// SetJournal records how far a recovery from snapshot id has come. With the end
// of it, the snapshot is restored.
func (s *Store) SetJournal(ctx context.Context, id string, j Journal) error {
	j.At = s.now().UTC().Truncate(time.Millisecond)
	notes := map[string]any{annotationJournal: j}
	if j.Phase == PhaseDone {
		notes[annotationState] = status{State: StateRestored, At: j.At}
	}
	if err := s.annotate(ctx, id, notes); err != nil {
		return fmt.Errorf("write journal of snapshot %s: %w", id, err)
	}
	return nil
}

// ClearJournal removes the journal of a recovery that never began.
func (s *Store) ClearJournal(ctx context.Context, id string) error {
	if err := s.annotate(ctx, id, map[string]any{annotationJournal: nil}); err != nil {
		return fmt.Errorf("clear journal of snapshot %s: %w", id, err)
	}
	return nil
}

// annotate sets annotations of snapshot id to the JSON of notes; nil removes one.
func (s *Store) annotate(ctx context.Context, id string, notes map[string]any) error {
	return s.annotateIf(ctx, id, "", notes)
}

// annotateIf is annotate for exactly one version of the Secret, if one is given.
func (s *Store) annotateIf(ctx context.Context, id, resourceVersion string, notes map[string]any) error {
	annotations := map[string]any{}
	for name, value := range notes {
		if value == nil {
			annotations[name] = nil
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		annotations[name] = string(text)
	}
	metadata := map[string]any{"annotations": annotations}
	if resourceVersion != "" {
		metadata["resourceVersion"] = resourceVersion
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	_, err = s.metadata.Resource(secretsResource()).Namespace(s.namespace).
		Patch(ctx, namePrefix+id, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

func (s *Store) secrets() typedcorev1.SecretInterface {
	return s.kube.CoreV1().Secrets(s.namespace)
}

func secretsResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
}
