// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Stored is the Secret of the revision with status as what became of it, ready
// to be created. One that says so already keeps its data byte for byte; in
// another, all is kept but what tells of its uninstallation. Description is
// what 'helm history' shows then.
func (r *Revision) Stored(status Status, description string) (*corev1.Secret, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: r.secret.Name, Namespace: r.Namespace, Labels: map[string]string{}},
		Type:       SecretType, Data: map[string][]byte{"release": bytes.Clone(r.secret.Data["release"])},
	}
	for label, value := range r.secret.Labels {
		secret.Labels[label] = value
	}
	if r.Status == status {
		return secret, nil
	}
	secret.Labels[labelStatus] = string(status)
	plain, err := r.Record()
	if err != nil {
		return nil, err
	}
	if plain, err = restate(plain, status, description); err == nil {
		secret.Data["release"], err = pack(plain)
	}
	if err != nil {
		return nil, fmt.Errorf("write revision %d of Helm release %q: %w", r.Number, r.Key, err)
	}
	return secret, nil
}

// restate is a record with another status. Helm 3 and Helm 4 keep different
// things in it; what is not known here stays as it is.
func restate(plain []byte, status Status, description string) ([]byte, error) {
	reader := json.NewDecoder(bytes.NewReader(plain))
	reader.UseNumber()
	var record map[string]any
	if err := reader.Decode(&record); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	info, ok := record["info"].(map[string]any)
	if !ok {
		return nil, errors.New("it has no info")
	}
	info["status"], info["description"] = string(status), description
	delete(info, "deleted")
	return json.Marshal(record)
}
