// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/webhook/lately"
)

// page is how many approvals are read at a time.
const page = 500

// Resource is that of DeletionApprovals.
func Resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "holdfast.dev", Version: "v1alpha1", Resource: v1alpha1.DeletionApprovalResource}
}

// Store finds approvals in the cluster and uses them up.
type Store struct {
	Client dynamic.Interface
	// Now is the clock by which approvals expire.
	Now func() time.Time

	once   sync.Once
	lately lately.Value[[]*v1alpha1.DeletionApproval]
}

// Find looks for an approval that counts for ask, now. Without one the text
// says what speaks against those that were given for the object; it is empty
// where there are none. That there are none may have been true a moment ago
// only (lately.For); whatever else it says is read now.
func (s *Store) Find(ctx context.Context, ask Ask) (*v1alpha1.DeletionApproval, string, error) {
	s.once.Do(func() { s.lately.Read = s.list })
	all, err := s.lately.Get(ctx)
	if err == nil && !slices.ContainsFunc(all, ask.concerns) {
		return nil, "", nil
	}
	if all, err = s.lately.Fresh(ctx); err != nil {
		return nil, "", err
	}
	now := s.Now()
	var counting []*v1alpha1.DeletionApproval
	var against, beside []string
	for _, a := range all {
		if !ask.concerns(a) {
			continue
		}
		if why := ask.elsewhere(a); why != "" {
			beside = append(beside, uncounted(a, why))
			continue
		}
		if why := judge(a, ask, now); why != "" {
			against = append(against, uncounted(a, why))
			continue
		}
		counting = append(counting, a)
	}
	if len(counting) == 0 {
		return nil, because(append(against, beside...)), nil
	}
	// One that is used already, or is never used up, before one that still may be.
	slices.SortStableFunc(counting, func(a, b *v1alpha1.DeletionApproval) int { return cmp.Compare(rank(a), rank(b)) })
	return counting[0], "", nil
}

func uncounted(a *v1alpha1.DeletionApproval, why string) string {
	return fmt.Sprintf("Approval %s does not count: %s", a.Name, why)
}

func rank(a *v1alpha1.DeletionApproval) int {
	switch {
	case a.Status.ConsumedAt != nil:
		return 0
	case Covers(a):
		return 1
	default:
		return 2
	}
}

// list reads all approvals, the newest first. Without their definition there are none.
func (s *Store) list(ctx context.Context) ([]*v1alpha1.DeletionApproval, error) {
	var all []*v1alpha1.DeletionApproval
	options := metav1.ListOptions{Limit: page}
	for {
		list, err := s.Client.Resource(Resource()).List(ctx, options)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list approvals: %w", err)
		}
		for i := range list.Items {
			a, err := decode(&list.Items[i])
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b *v1alpha1.DeletionApproval) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// ErrTaken means that the approval was used by somebody else, or does not count
// any more for another reason.
var ErrTaken = errors.New("taken")

// Consume uses a up for ask. With ErrTaken in the error the approval that was
// found has gone or does not count any more; Find may find another.
func (s *Store) Consume(ctx context.Context, a *v1alpha1.DeletionApproval, ask Ask) error {
	if Covers(a) || a.Status.ConsumedAt != nil {
		return nil // it counts, so this is the retry of the one who has used it
	}
	used := a.DeepCopy()
	used.Status = v1alpha1.DeletionApprovalStatus{ConsumedAt: &metav1.Time{Time: s.Now()}, ConsumedBy: ask.User, RequestUID: string(ask.RequestUID)}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(used)
	if err != nil {
		return fmt.Errorf("encode approval %q: %w", a.Name, err)
	}
	_, err = s.Client.Resource(Resource()).UpdateStatus(ctx, &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err):
		return fmt.Errorf("use approval %q: %w", a.Name, ErrTaken)
	case err != nil:
		return fmt.Errorf("use approval %q: %w", a.Name, err)
	}
	return nil
}

func decode(object *unstructured.Unstructured) (*v1alpha1.DeletionApproval, error) {
	a := &v1alpha1.DeletionApproval{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, a); err != nil {
		return nil, fmt.Errorf("read approval %q: %w", object.GetName(), err)
	}
	return a, nil
}
