// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	// PausedUntil is the annotation by which the webhook configuration and the
	// fence's bindings are paused, until a time as of RFC 3339. What is changed
	// without it is put right at once; with it, when that time has come.
	PausedUntil = "holdfast.dev/paused-until"
	// PausedBy says who paused it.
	PausedBy = "holdfast.dev/paused-by"
	// PausedReason says why.
	PausedReason = "holdfast.dev/paused-reason"
	// PausedFrom lists the entries that were Fail before, so that a pause can be
	// ended without a Holdfast that knows it.
	PausedFrom = "holdfast.dev/paused-from"

	// LongestPause is how far ahead a pause may end. A later end is none: an
	// annotation that somebody forgot must not switch Holdfast off for good.
	LongestPause = 24 * time.Hour
	// pauseSkew is how far the clock of whoever paused may be ahead.
	pauseSkew = time.Minute
)

// Pause is a time in which nothing is refused.
type Pause struct {
	Until      time.Time
	By, Reason string
}

// PauseOf reads the pause of an object from its annotations; ok is false when
// there is none that counts now.
func PauseOf(annotations map[string]string, now time.Time) (p Pause, ok bool) {
	until, err := time.Parse(time.RFC3339, annotations[PausedUntil])
	if err != nil || !now.Before(until) || until.After(now.Add(LongestPause+pauseSkew)) {
		return Pause{}, false
	}
	return Pause{Until: until, By: annotations[PausedBy], Reason: annotations[PausedReason]}, true
}

// ReadPause reads the live pause of the webhook configuration, by which all
// replicas go; the zero Pause when there is none.
func ReadPause(ctx context.Context, kube kubernetes.Interface, now func() time.Time) (Pause, error) {
	live, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Pause{}, nil
	}
	if err != nil {
		return Pause{}, fmt.Errorf("read the pause: %w", err)
	}
	pause, _ := PauseOf(live.Annotations, now())
	return pause, nil
}

// SetPause pauses config: no entry holds anything up.
func SetPause(config *admissionv1.ValidatingWebhookConfiguration, p Pause) {
	from := split(config.Annotations[PausedFrom])
	for _, w := range config.Webhooks {
		if ptr.Deref(w.FailurePolicy, admissionv1.Fail) == admissionv1.Fail {
			from = append(from, w.Name)
		}
	}
	slices.Sort(from)
	annotate(config, p)
	config.Annotations[PausedFrom] = strings.Join(slices.Compact(from), ",")
	ignoreAll(config)
}

// ClearPause ends the pause of config, and tells whether there was one.
func ClearPause(config *admissionv1.ValidatingWebhookConfiguration) bool {
	from := split(config.Annotations[PausedFrom])
	for i := range config.Webhooks {
		if slices.Contains(from, config.Webhooks[i].Name) {
			config.Webhooks[i].FailurePolicy = ptr.To(admissionv1.Fail)
		}
	}
	return unannotate(config)
}

// SetBindingPause lets the fence warn where it denies, and tells whether the
// binding is one that denies.
func SetBindingPause(binding *admissionv1.ValidatingAdmissionPolicyBinding, p Pause) bool {
	_, again := binding.Annotations[PausedUntil]
	if !again && !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) {
		return false
	}
	annotate(binding, p)
	warnOnly(binding)
	return true
}

// ClearBindingPause lets the fence deny again, and tells whether it was paused.
func ClearBindingPause(binding *admissionv1.ValidatingAdmissionPolicyBinding) bool {
	if !unannotate(binding) {
		return false
	}
	binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Deny}
	return true
}

// honourBindingPause lets want, a binding, be paused while the live one is.
func (k *Keeper) honourBindingPause(ctx context.Context, want *admissionv1.ValidatingAdmissionPolicyBinding) error {
	live, err := k.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ValidatingAdmissionPolicyBinding %q: %w", want.Name, err)
	}
	if pause, ok := PauseOf(live.Annotations, k.now()); ok && want.Spec.PolicyName == FenceName {
		SetBindingPause(want, pause)
	}
	return nil
}

func ignoreAll(config *admissionv1.ValidatingWebhookConfiguration) {
	for i := range config.Webhooks {
		config.Webhooks[i].FailurePolicy = ptr.To(admissionv1.Ignore)
	}
}

func warnOnly(binding *admissionv1.ValidatingAdmissionPolicyBinding) {
	if slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) {
		binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
	}
}

func annotate(object metav1.Object, p Pause) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[PausedUntil] = p.Until.UTC().Format(time.RFC3339)
	annotations[PausedBy], annotations[PausedReason] = p.By, p.Reason
	object.SetAnnotations(annotations)
}

// unannotate takes away everything that tells of a pause.
func unannotate(object metav1.Object) (paused bool) {
	annotations := object.GetAnnotations()
	for _, key := range []string{PausedUntil, PausedBy, PausedReason, PausedFrom} {
		if _, ok := annotations[key]; ok {
			paused = true
			delete(annotations, key)
		}
	}
	object.SetAnnotations(annotations)
	return paused
}

// isPaused tells whether anything on object tells of a pause, one that counts
// or not.
func isPaused(object metav1.Object) bool {
	_, ok := object.GetAnnotations()[PausedUntil]
	return ok
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
