// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// ByHand is the operator that somebody brings back by hand, while the rescue waits.
type ByHand struct {
	// Snapshots may hold what the operator is made of.
	Snapshots *snapshot.Store
	// Restore is the command that brings objects back by the IDs of their snapshots.
	Restore string
	// Tell is told what to do when the time has come.
	Tell func(text string)
}

// Steps say what is to be done.
func (h ByHand) Steps(ctx context.Context, key release.Key) ([]string, error) {
	how, err := h.how(ctx, key)
	if err != nil {
		return nil, err
	}
	return append([]string{"wait until you have brought the operator back, when told so: " + how[0]}, how[1:]...), nil
}

// BringBack asks for it.
func (h ByHand) BringBack(ctx context.Context, key release.Key) error {
	how, err := h.how(ctx, key)
	if err != nil {
		return err
	}
	h.Tell("Bring the operator back now, in another terminal: " + how[0])
	for _, more := range how[1:] {
		h.Tell(more)
	}
	return nil
}

// how are the words for it, a line each.
func (h ByHand) how(ctx context.Context, key release.Key) ([]string, error) {
	if key.Name != "" {
		return []string{fmt.Sprintf("helm upgrade --install %s CHART --namespace %s, with the chart, version and values that it had", key.Name, key.Namespace)}, nil
	}
	saved, err := h.saved(ctx)
	if err != nil {
		return nil, fmt.Errorf("find what is saved of the operator: %w", err)
	}
	apply := "apply the manifests again that it was installed with, its definitions among them"
	if len(saved) == 0 {
		return []string{apply, "nothing of them is saved: take them from where it was installed from, in the version that it had (kubectl apply --server-side -f FILE; a definition is too large for a plain apply)"}, nil
	}
	var ids, names []string
	kinds := map[string]bool{}
	for _, m := range saved {
		name := m.String()
		if m.Resource == profile.CRDResource().String() {
			name = "the definition of " + m.Name
		}
		ids, names = append(ids, m.Snapshot), append(names, name)
		kinds[m.Resource] = true
	}
	lines := []string{apply, fmt.Sprintf("saved of them are %s; this brings these back as they were: %s %s --yes", strings.Join(names, ", "), h.Restore, strings.Join(ids, " "))}
	var missing []string
	for _, part := range operatorParts() {
		if !kinds[part.resource] {
			missing = append(missing, part.name)
		}
	}
	if len(missing) > 0 {
		lines = append(lines, fmt.Sprintf("not saved of them: %s; take these from where it was installed from, in the version that it had: kubectl apply --server-side -f FILE", strings.Join(missing, ", ")))
	}
	return lines, nil
}

// operatorParts are what an operator is made of besides its definitions.
func operatorParts() []struct{ resource, name string } {
	return []struct{ resource, name string }{
		{"deployments.apps", "Deployment"},
		{"serviceaccounts", "ServiceAccount"},
		{"clusterroles.rbac.authorization.k8s.io", "ClusterRole"},
		{"clusterrolebindings.rbac.authorization.k8s.io", "ClusterRoleBinding"},
		{"services", "Service"},
		{"validatingwebhookconfigurations.admissionregistration.k8s.io", "ValidatingWebhookConfiguration"},
		{"mutatingwebhookconfigurations.admissionregistration.k8s.io", "MutatingWebhookConfiguration"},
	}
}

// saved is what the latest set of an Astarte has of its operator: the
// definitions, and what else a profile has saved with it. One that was taken
// when the definition was going already lacks those that were gone.
func (h ByHand) saved(ctx context.Context) ([]snapshot.SetMember, error) {
	sets, err := h.Snapshots.Sets(ctx, snapshot.Filter{Resource: Astartes()})
	if err != nil {
		return nil, err
	}
	var late []snapshot.SetMember
	for i := range sets {
		if sets[i].Problem != "" {
			continue
		}
		set, err := h.Snapshots.Set(ctx, sets[i].ID)
		if err != nil {
			continue // it is damaged or was removed meanwhile; an older one does as well
		}
		found, going, err := h.operatorIn(ctx, set)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 && !going {
			return found, nil
		}
		if late == nil {
			late = found
		}
	}
	return late, nil
}

// operatorIn is what set has of the operator; going says that the definition of
// Astartes was Terminating by then.
func (h ByHand) operatorIn(ctx context.Context, set *snapshot.Set) (found []snapshot.SetMember, going bool, err error) {
	definition := profile.CRDResource().String()
	for _, m := range set.Members {
		// In the Astarte's own namespace these are its own.
		part := m.Namespace != set.Namespace && slices.ContainsFunc(operatorParts(), func(p struct{ resource, name string }) bool { return p.resource == m.Resource })
		if m.Snapshot == "" || (m.Resource != definition && !part) {
			continue
		}
		found = append(found, m)
		if m.Resource == definition && m.Name == Astartes().String() {
			record, err := h.Snapshots.Describe(ctx, m.Snapshot)
			if err != nil {
				return nil, false, err
			}
			going = record.Terminating
		}
	}
	return found, going, nil
}
