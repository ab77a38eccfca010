// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	reportingController = "holdfast"
	reasonBypass        = "Bypassed"
)

// tell makes an Event about a bypass and says whether this replica was the
// first. The Event is with the object; where that is not possible, because the
// namespace has gone too, it is with the snapshot.
func (r *Recorder) tell(ctx context.Context, uid types.UID, one ended, id, note string) (first bool, err error) {
	instance, err := os.Hostname()
	if err != nil {
		instance = reportingController
	}
	event := &eventsv1.Event{
		// Named after what it tells of, so that replicas tell of it once.
		ObjectMeta:          metav1.ObjectMeta{Namespace: cmp.Or(one.name.Namespace, metav1.NamespaceDefault), Name: "holdfast-bypass-" + string(uid)},
		EventTime:           metav1.NewMicroTime(r.Now()),
		ReportingController: reportingController,
		ReportingInstance:   instance,
		Action:              "Delete",
		Reason:              reasonBypass,
		Type:                corev1.EventTypeWarning,
		Note:                note,
		Regarding: corev1.ObjectReference{
			Kind: one.kind(), Namespace: one.name.Namespace, Name: one.name.Name, UID: uid,
		},
	}
	_, err = r.Kube.EventsV1().Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		event.Namespace = r.Store.Namespace()
		event.Regarding = corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: event.Namespace, Name: "holdfast-snapshot-" + id}
		_, err = r.Kube.EventsV1().Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
	}
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tell of a bypass: %w", err)
	}
	return true, nil
}

func (e ended) kind() string {
	if e.last != nil {
		return e.last.GetKind()
	}
	return e.name.Resource.Resource
}
