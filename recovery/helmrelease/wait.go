// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

const (
	// patience bounds each wait.
	patience = 5 * time.Minute
	// look is how often what is awaited is looked at.
	look = 200 * time.Millisecond
	// reports is how often a wait is told again.
	reports = 5 * time.Second
)

// Progress is one thing that Apply does or waits for.
type Progress struct {
	// Do is what is done, Wait what is waited for; one of the two.
	Do   string `json:"do,omitempty"`
	Wait string `json:"wait,omitempty"`
	// For is how long it has been waited for.
	For time.Duration `json:"forNanoseconds,omitempty"`
}

// String is the progress in words.
func (p Progress) String() string {
	switch {
	case p.Wait == "":
		return p.Do
	case p.For < time.Second:
		return "wait for " + p.Wait
	default:
		return fmt.Sprintf("wait for %s, for %s", p.Wait, p.For.Round(time.Second))
	}
}

// wait waits until done says so.
func (a *applying) wait(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	start := a.Now()
	told := time.Duration(-1)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		waited := a.Now().Sub(start)
		if waited >= patience {
			return fmt.Errorf("waited %s for %s in vain; see what holds it up, then run this again", patience, what)
		}
		if told < 0 || waited-told >= reports {
			told = waited
			a.tell(Progress{Wait: what, For: waited})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted while waiting for %s: %w; run this again", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// retry does what may have to wait for an admission webhook, or for a
// definition that is known everywhere only a moment after it was established.
func (a *applying) retry(ctx context.Context, what string, do func(context.Context) error) error {
	return a.wait(ctx, what, func(ctx context.Context) (bool, error) {
		err := do(ctx)
		switch {
		case err == nil:
			return true, nil
		case passing(err):
			return false, nil
		default:
			return false, err
		}
	})
}

// passing says that err may pass by itself.
func passing(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	if apierrors.IsNotFound(err) {
		// A kind that is not known yet; a namespace does not come by itself.
		details := answer.Status().Details
		return details == nil || details.Kind != "namespaces"
	}
	return apierrors.IsInternalError(err) || apierrors.IsConflict(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// clientOf is the client for o, whose kind may just have been defined.
func (a *applying) clientOf(ctx context.Context, o *Object) (client dynamic.ResourceInterface, err error) {
	err = a.wait(ctx, fmt.Sprintf("the API server to know kind %s (%s)", o.Kind, o.APIVersion), func(ctx context.Context) (bool, error) {
		mapping, err := a.mapping(ctx, o)
		if err != nil || mapping == nil {
			meta.MaybeResetRESTMapperWithContext(ctx, a.Mapper)
			return false, err
		}
		o.place(mapping, a.plan.Namespace)
		client = a.client(mapping, o)
		return true, nil
	})
	return client, err
}

// waitGone waits until o is gone.
func (a *applying) waitGone(ctx context.Context, o *Object) error {
	client, err := a.clientOf(ctx, o)
	if err != nil {
		return err
	}
	return a.wait(ctx, o.String()+", which is Terminating, to be gone", func(ctx context.Context) (bool, error) {
		live, err := client.Get(ctx, o.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("get %s: %w", o, err)
		}
		return live.GetDeletionTimestamp() == nil, nil // somebody has made it anew
	})
}

// waitEstablished waits until the API server serves what o defines.
func (a *applying) waitEstablished(ctx context.Context, o *Object) error {
	client, err := a.clientOf(ctx, o)
	if err != nil {
		return err
	}
	err = a.wait(ctx, o.String()+" to be established", func(ctx context.Context) (bool, error) {
		live, err := client.Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("get %s: %w", o, err)
		}
		return condition(live, "Established"), nil
	})
	meta.MaybeResetRESTMapperWithContext(ctx, a.Mapper)
	return err
}
