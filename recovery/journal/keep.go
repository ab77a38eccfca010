// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	fieldManager = "holdfast"
	// label marks the Secrets that are journals.
	label     = "holdfast.dev/journal"
	prefix    = "holdfast-journal-"
	dataKey   = "journal"
	localMode = 0o600
)

// errChanged means that somebody else has written the journal meanwhile.
var errChanged = errors.New("another run has taken over")

// Keeper keeps the journals of one cluster.
type Keeper struct {
	Kube kubernetes.Interface
	// Namespace is Holdfast's own.
	Namespace string
	// Dir is the folder of the user's for journals of this cluster.
	Dir string
	// Self is this process.
	Self Holder
	Now  func() time.Time
}

// name is the name of the journal of an operation on target.
func name(operation, target string) string {
	sum := sha256.Sum256([]byte(operation + "\n" + target))
	return prefix + hex.EncodeToString(sum[:8])
}

// load is the journal called name and the version of its Secret, which is empty
// if only the file knows of it. Nobody knowing it is a nil State.
func (k *Keeper) load(ctx context.Context, name string) (*State, string, error) {
	local, err := k.loadFile(name)
	if err != nil {
		return nil, "", err
	}
	secret, err := k.Kube.CoreV1().Secrets(k.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return local, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read journal %s: %w", name, err)
	}
	state, err := decode(secret)
	if err != nil {
		return nil, "", err
	}
	// The namespace may have gone and come back in between.
	if local.Open() && local.Begun.Equal(state.Begun) && local.Revision > state.Revision {
		state = local
	}
	return state, secret.ResourceVersion, nil
}

func decode(secret *corev1.Secret) (*State, error) {
	state := &State{}
	if err := json.Unmarshal(secret.Data[dataKey], state); err != nil {
		return nil, fmt.Errorf("read journal %s: %w; nothing in it can be relied on: look at Secret %s/%s and delete it if nobody is at work", secret.Name, err, secret.Namespace, secret.Name)
	}
	return state, nil
}

// save writes state over version of its Secret and gives back the new version.
// Without Holdfast's namespace, only the file is written.
func (k *Keeper) save(ctx context.Context, name string, state *State, version string) (string, error) {
	text, err := json.Marshal(state)
	if err != nil {
		return "", fmt.Errorf("write journal %s: %w", name, err)
	}
	next, err := k.saveSecret(ctx, name, text, version)
	if err != nil {
		return "", err
	}
	// The file is all there is when there is no Secret, else it is a second copy.
	if err := k.saveFile(name, text); err != nil && next == "" {
		return "", fmt.Errorf("write journal %s: namespace %s is gone, and locally: %w", name, k.Namespace, err)
	}
	return next, nil
}

func (k *Keeper) saveSecret(ctx context.Context, name string, text []byte, version string) (string, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.Namespace, ResourceVersion: version, Labels: map[string]string{label: "true"}},
		Type:       "holdfast.dev/journal", Data: map[string][]byte{dataKey: text},
	}
	var written *corev1.Secret
	var err error
	if version == "" {
		written, err = k.Kube.CoreV1().Secrets(k.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		written, err = k.Kube.CoreV1().Secrets(k.Namespace).Update(ctx, secret, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	switch {
	case err == nil:
		return written.ResourceVersion, nil
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		return "", errChanged
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "", nil // Holdfast's namespace is gone or going
	default:
		return "", fmt.Errorf("write journal %s: %w", name, err)
	}
}

func (k *Keeper) path(name string) string { return filepath.Join(k.Dir, name+".json") }

func (k *Keeper) loadFile(name string) (*State, error) {
	text, err := os.ReadFile(k.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	state := &State{}
	if err := json.Unmarshal(text, state); err != nil {
		return nil, fmt.Errorf("read journal %s: %w; remove the file if nobody is at work", k.path(name), err)
	}
	return state, nil
}

// saveFile writes the file as a whole or not at all.
func (k *Keeper) saveFile(name string, text []byte) error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(k.Dir, name+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	if err = errors.Join(err, temporary.Chmod(localMode), temporary.Sync(), temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return os.Rename(temporary.Name(), k.path(name))
}

// dropFile removes the second copy; one that stays behind says that it has ended.
func (k *Keeper) dropFile(name string) { _ = os.Remove(k.path(name)) }

// Unfinished are the recoveries that have begun and not ended, oldest first.
func (k *Keeper) Unfinished(ctx context.Context) ([]*State, error) {
	found := map[string]*State{}
	files, err := filepath.Glob(filepath.Join(k.Dir, prefix+"*.json"))
	if err != nil {
		return nil, fmt.Errorf("list journals: %w", err)
	}
	for _, file := range files {
		n := strings.TrimSuffix(filepath.Base(file), ".json")
		if found[n], err = k.loadFile(n); err != nil {
			return nil, err
		}
	}
	list, err := k.Kube.CoreV1().Secrets(k.Namespace).List(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return nil, fmt.Errorf("list journals: %w", err)
	}
	for i := range list.Items {
		state, err := decode(&list.Items[i])
		if err != nil {
			return nil, err
		}
		if old := found[list.Items[i].Name]; old == nil || !old.Begun.Equal(state.Begun) || old.Revision <= state.Revision {
			found[list.Items[i].Name] = state
		}
	}
	var open []*State
	for _, state := range found {
		if state.Open() {
			open = append(open, state)
		}
	}
	slices.SortFunc(open, func(a, b *State) int { return a.Begun.Compare(b.Begun) })
	return open, nil
}

// Peek is the journal of an operation on target without working on it, nil if
// there is none that is open.
func (k *Keeper) Peek(ctx context.Context, operation, target string) (*State, error) {
	state, _, err := k.load(ctx, name(operation, target))
	if err != nil || !state.Open() {
		return nil, err
	}
	return state, nil
}
