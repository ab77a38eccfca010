// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/kubernetes"
)

// Reader asks the API server, with consistent reads. It needs the right to list
// Secrets in the namespace of the release; without it the error is Forbidden.
type Reader struct {
	Kube kubernetes.Interface
}

// Revisions lists the revisions of a release that something may still become
// of, oldest first: all but the superseded ones, which are most of them and
// large. It is empty when there is no such release.
func (r Reader) Revisions(ctx context.Context, key Key) ([]*Revision, error) {
	return r.read(ctx, key, requirement{labelStatus, selection.NotEquals, string(Superseded)})
}

// History lists all revisions of a release, oldest first.
func (r Reader) History(ctx context.Context, key Key) ([]*Revision, error) { return r.read(ctx, key) }

type requirement struct {
	label string
	op    selection.Operator
	value string
}

func (r Reader) read(ctx context.Context, key Key, more ...requirement) ([]*Revision, error) {
	selector, err := selectorOf(key, more)
	if err != nil {
		return nil, fmt.Errorf("read Helm release %q: %w", key, err)
	}
	secrets, err := r.Kube.CoreV1().Secrets(key.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: selector.String(), FieldSelector: "type=" + string(SecretType),
	})
	if err != nil {
		return nil, fmt.Errorf("read Helm release %q: %w", key, err)
	}
	var revisions []*Revision
	for i := range secrets.Items {
		if revision, ok := Read(&secrets.Items[i]); ok {
			revisions = append(revisions, revision)
		}
	}
	slices.SortFunc(revisions, func(a, b *Revision) int { return cmp.Compare(a.Number, b.Number) })
	return revisions, nil
}

func selectorOf(key Key, more []requirement) (labels.Selector, error) {
	selector := labels.NewSelector()
	for _, want := range append([]requirement{{labelOwner, selection.Equals, ownerHelm}, {labelName, selection.Equals, key.Name}}, more...) {
		one, err := labels.NewRequirement(want.label, want.op, []string{want.value})
		if err != nil {
			return nil, err // an annotation names what cannot be a release
		}
		selector = selector.Add(*one)
	}
	return selector, nil
}
