// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"fmt"

	"github.com/holdfast-dev/holdfast/config/release"
)

// ByHand is the operator that somebody brings back by hand, while the rescue waits.
type ByHand struct {
	// Tell is told what to do when the time has come.
	Tell func(text string)
}

// Steps say what is to be done.
func (ByHand) Steps(_ context.Context, key release.Key) ([]string, error) {
	return []string{"wait until you have brought the operator back, when told so: " + byHand(key)}, nil
}

// BringBack asks for it.
func (h ByHand) BringBack(_ context.Context, key release.Key) error {
	h.Tell("Bring the operator back now, in another terminal: " + byHand(key))
	return nil
}

func byHand(key release.Key) string {
	if key.Name == "" {
		return "apply the manifests again that it was installed with, its definitions among them"
	}
	return fmt.Sprintf("helm upgrade --install %s CHART --namespace %s, with the chart, version and values that it had", key.Name, key.Namespace)
}
