// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package release reads what Helm 3 and Helm 4 have stored about a release: its
// revisions, what became of each, and the objects that belong to it. It knows
// the format of the release Secrets and needs nothing of Helm itself.
//
// A release whose storage is another than Secrets (HELM_DRIVER) has none here.
package release

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// SecretType is the type of the Secrets that hold revisions.
	SecretType corev1.SecretType = "helm.sh/release.v1" //nolint:gosec // a type, no credential
	// NameAnnotation is on every object that Helm has put into the cluster, and
	// names its release.
	NameAnnotation = "meta.helm.sh/release-name"
	// NamespaceAnnotation names the namespace of that release.
	NamespaceAnnotation = "meta.helm.sh/release-namespace"
	// PolicyAnnotation with the value PolicyKeep makes Helm leave an object
	// alone that it would delete.
	PolicyAnnotation = "helm.sh/resource-policy"
	// PolicyKeep is that value.
	PolicyKeep = "keep"

	labelOwner, labelName, labelStatus, labelVersion = "owner", "name", "status", "version"
	ownerHelm                                        = "helm"
)

// Status is what became of a revision, as Helm writes it.
type Status string

// What a revision can be.
const (
	Deployed        Status = "deployed"
	Superseded      Status = "superseded"
	Failed          Status = "failed"
	Uninstalling    Status = "uninstalling"
	Uninstalled     Status = "uninstalled"
	PendingInstall  Status = "pending-install"
	PendingUpgrade  Status = "pending-upgrade"
	PendingRollback Status = "pending-rollback"
)

// Pending tells whether Helm is at work on it, or was stopped while it was.
func (s Status) Pending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback
}

// Key names a release.
type Key struct {
	Namespace, Name string
}

// String is NAMESPACE/NAME.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Compare orders keys by namespace, then name.
func Compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Of names the release that an object belongs to, by its annotations.
func Of(o metav1.Object) (Key, bool) {
	a := o.GetAnnotations()
	key := Key{Namespace: a[NamespaceAnnotation], Name: a[NameAnnotation]}
	return key, key.Namespace != "" && key.Name != ""
}

// Revision is one revision of a release.
type Revision struct {
	Key
	Number int
	Status Status

	secret *corev1.Secret
}

// Read takes a Secret for a revision; ok is false when it is not one.
func Read(secret *corev1.Secret) (revision *Revision, ok bool) {
	if secret.Type != SecretType || secret.Labels[labelOwner] != ownerHelm || secret.Labels[labelName] == "" {
		return nil, false
	}
	number, err := strconv.Atoi(secret.Labels[labelVersion])
	if err != nil {
		return nil, false
	}
	return &Revision{
		Key: Key{Namespace: secret.Namespace, Name: secret.Labels[labelName]}, Number: number,
		Status: Status(secret.Labels[labelStatus]), secret: secret,
	}, true
}

// Secret is where the revision is stored.
func (r *Revision) Secret() *corev1.Secret { return r.secret }

// Record is what Helm keeps about it, as JSON.
func (r *Revision) Record() ([]byte, error) {
	plain, err := unpack(r.secret.Data["release"])
	if err != nil {
		return nil, fmt.Errorf("read revision %d of Helm release %q: %w", r.Number, r.Key, err)
	}
	return plain, nil
}

// Objects are those of its manifest, without hooks and without what a chart
// keeps in its crds folder, which Helm does not own. An object without a
// namespace is in that of the release, unless its kind is cluster-scoped, which
// the manifest does not say.
func (r *Revision) Objects() ([]*unstructured.Unstructured, error) {
	stored, err := decode(r.secret.Data["release"])
	if err != nil {
		return nil, fmt.Errorf("read revision %d of Helm release %q: %w", r.Number, r.Key, err)
	}
	objects, err := Split(stored.Manifest)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of revision %d of Helm release %q: %w", r.Number, r.Key, err)
	}
	return objects, nil
}

// NamespaceOf is the namespace of an object of the manifest, if its kind is namespaced.
func (r *Revision) NamespaceOf(o metav1.Object) string {
	return cmp.Or(o.GetNamespace(), r.Namespace)
}

// Current is the revision that runs: the deployed one, or the newest when none
// is, as after a first installation that failed.
func Current(revisions []*Revision) (*Revision, error) {
	var newest, deployed *Revision
	for _, r := range revisions {
		if newest == nil || r.Number > newest.Number {
			newest = r
		}
		if r.Status == Deployed && (deployed == nil || r.Number > deployed.Number) {
			deployed = r
		}
	}
	if newest == nil {
		return nil, ErrNone
	}
	return cmp.Or(deployed, newest), nil
}

// ErrNone is returned when there is no revision of a release.
var ErrNone = errors.New("there is no such Helm release")
