// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

const (
	// longest is how long an approval can be valid, whatever it says.
	longest = 24 * time.Hour
	// retryWithin is how long the user who has used an approval is taken for
	// the API server, which asks again when a deletion meets a conflict.
	retryWithin = 10 * time.Second
	// mostSkew is how far the clock of the API server, which dates approvals,
	// may be ahead of this one. One that goes wrong by more is no clock to
	// let an approval expire by.
	mostSkew = time.Minute
)

// Ask is a request that was refused.
type Ask struct {
	Resource        schema.GroupResource
	Namespace, Name string
	UID             types.UID
	Operation       v1alpha1.ApprovedOperation
	User            string
	RequestUID      types.UID
	// Release is the Helm release that the object belongs to, if any; an
	// approval for its removal covers the deletion of its objects.
	Release types.NamespacedName
	// Distinct demands that whoever approves and whoever uses it differ.
	Distinct bool
	// Profile names who demands it, such as "profile billing"; it may be empty.
	Profile string
}

// release says that a is about the release that the object belongs to.
func (k Ask) release(a *v1alpha1.DeletionApproval) bool {
	return a.Spec.Resource == v1alpha1.ReleaseResource && k.Release.Name != "" &&
		a.Spec.Namespace == k.Release.Namespace && a.Spec.Name == k.Release.Name &&
		k.Operation == v1alpha1.OperationDelete
}

// concerns says that a names the object, or the release it belongs to.
func (k Ask) concerns(a *v1alpha1.DeletionApproval) bool {
	if a.Spec.Resource == v1alpha1.ReleaseResource {
		return k.release(a)
	}
	return schema.ParseGroupResource(a.Spec.Resource) == k.Resource && a.Spec.Namespace == k.Namespace && a.Spec.Name == k.Name
}

// elsewhere tells what else a, which concerns the object, was given for; empty
// when it was meant for just this.
func (k Ask) elsewhere(a *v1alpha1.DeletionApproval) string {
	switch {
	case k.release(a):
	case a.Spec.Operation != k.Operation:
		return fmt.Sprintf("it is for the operation %s, and this is %s", a.Spec.Operation, k.Operation)
	case a.Spec.UID == "" || a.Spec.UID != string(k.UID):
		return fmt.Sprintf("it is for another object of that name, with UID %s", a.Spec.UID)
	}
	return ""
}

// judge tells why a, which was meant for just this, does not count; empty when it does.
func judge(a *v1alpha1.DeletionApproval, k Ask, now time.Time) string {
	if why := untimely(a, now); why != "" {
		return why
	}
	if k.Distinct && a.Spec.ApprovedBy == k.User {
		return fmt.Sprintf("%s gave it, and %s demands that somebody else uses it", a.Spec.ApprovedBy, cmp.Or(k.Profile, "a profile of what it holds"))
	}
	if used := a.Status.ConsumedAt; used != nil && !Covers(a) {
		again := now.Sub(used.Time).Abs() <= retryWithin
		if !again || a.Status.ConsumedBy != k.User {
			return fmt.Sprintf("%s used it at %s", a.Status.ConsumedBy, stamp(used.Time))
		}
	}
	return ""
}

// untimely tells why a does not count now; empty when it does.
func untimely(a *v1alpha1.DeletionApproval, now time.Time) string {
	until, err := Until(a)
	switch {
	case err != nil:
		return err.Error()
	case !now.Before(until):
		return "it expired at " + stamp(until)
	case a.CreationTimestamp.After(now.Add(mostSkew)):
		return fmt.Sprintf("it was made at %s, and it is %s by the clock of this replica of holdfast, which must be put right", stamp(a.CreationTimestamp.Time), stamp(now))
	}
	return ""
}

// Until is when a expires.
func Until(a *v1alpha1.DeletionApproval) (time.Time, error) {
	d, err := time.ParseDuration(a.Spec.ValidFor)
	if err != nil || d <= 0 || d > longest {
		return time.Time{}, fmt.Errorf("its validFor %q is no duration of more than 0 and at most 24h", a.Spec.ValidFor)
	}
	return a.CreationTimestamp.Add(d), nil
}

// Covers tells that a is not used up: it is for a namespace or a release as a
// whole, whose removal is many requests.
func Covers(a *v1alpha1.DeletionApproval) bool {
	return a.Spec.Resource == v1alpha1.ReleaseResource ||
		a.Spec.Operation == v1alpha1.OperationDelete && schema.ParseGroupResource(a.Spec.Resource) == profile.NamespaceResource()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// because joins what speaks against approvals into one sentence.
func because(against []string) string {
	if more := len(against) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more do not count)", against[0], more)
	}
	return strings.Join(against, "")
}
