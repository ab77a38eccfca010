// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedadmissionv1 "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/profile"
)

const (
	fieldManager = "holdfast"
	// ProfilesName is the ConfigMap in Holdfast's namespace that tells the
	// command line which profiles are switched on, a YAML document a key.
	ProfilesName = "holdfast-profiles"
)

// Keeper keeps what Holdfast registers in the cluster as it should be.
type Keeper struct {
	Kube     kubernetes.Interface
	Profiles *profile.Set
	Options  Options
	// ClusterRole is the name of the installation's ClusterRole, which the
	// configuration is owned by and goes with. Without it there is no owner.
	ClusterRole string
	// Holding lists the namespaces that hold guarded objects; complete is false
	// while there may be more. Nil where that is not followed.
	Holding func() (names []string, complete bool)
	// Now is the clock by which pauses end; time.Now when nil.
	Now func() time.Time
	// Policies are what the API server is to judge by itself.
	Policies []Policy
	// Operators are the names under which the operators of each profile make
	// requests. Nil where that is not followed.
	Operators func() map[string]Accounts
}

// State is how things stand with what is registered.
type State int

const (
	// Absent means that nothing is registered.
	Absent State = iota
	// Different means that it is not what this process would register: it is
	// damaged, or made from other profiles.
	Different
	// InPlace means that it is as it should be.
	InPlace
)

// Ensure applies the configuration with caBundle and puts right what is wrong
// with it. It changes nothing when all is well.
func (k *Keeper) Ensure(ctx context.Context, caBundle []byte) (repaired bool, err error) {
	state, want, err := k.look(ctx, caBundle)
	if err != nil || state == InPlace {
		return false, err
	}
	return true, k.write(ctx, want)
}

// Look tells how things stand and changes nothing.
func (k *Keeper) Look(ctx context.Context, caBundle []byte) (State, error) {
	state, _, err := k.look(ctx, caBundle)
	return state, err
}

func (k *Keeper) look(ctx context.Context, caBundle []byte) (State, *admissionv1.ValidatingWebhookConfiguration, error) {
	o := k.Options
	o.CABundle = caBundle
	if err := o.check(); err != nil {
		return Absent, nil, err
	}
	var err error
	if o.Owner, err = k.owner(ctx); err != nil {
		return Absent, nil, err
	}
	live, err := k.configurations().Get(ctx, Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return Absent, nil, fmt.Errorf("read webhook configuration %q: %w", Name, err)
	}
	found := err == nil
	if k.Holding != nil {
		var complete bool
		if o.Holding, complete = k.Holding(); !complete && found {
			// What was listed before counts until it is known better.
			o.Holding = union(o.Holding, heldBy(live))
		}
	}
	if k.Operators != nil {
		o.Operators = k.Operators()
	}
	want := Build(k.Profiles, o)
	if found {
		k.honourPause(live, want)
	}
	switch {
	case !found:
		return Absent, want, nil
	case !isAsWanted(live, want):
		return Different, want, nil
	default:
		return InPlace, want, nil
	}
}

// write applies want. Server-side apply leaves alone what others have added,
// and an added match condition can switch an entry off, so that whatever is
// left over after it is taken out by a plain update.
func (k *Keeper) write(ctx context.Context, want *admissionv1.ValidatingWebhookConfiguration) error {
	applied := want.DeepCopy()
	applied.Annotations = nil // the pause is somebody else's to write
	data, err := json.Marshal(applied)
	if err != nil {
		return fmt.Errorf("encode webhook configuration: %w", err)
	}
	live, err := k.configurations().Patch(ctx, Name, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: fieldManager, Force: ptr.To(true)})
	if err != nil {
		return fmt.Errorf("apply webhook configuration %q: %w", Name, err)
	}
	if isAsWanted(live, want) {
		return nil
	}
	live.Webhooks = want.Webhooks
	live.OwnerReferences = want.OwnerReferences
	if !isPaused(want) {
		unannotate(live)
	}
	if _, err := k.configurations().Update(ctx, live, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("update webhook configuration %q: %w", Name, err)
	}
	return nil
}

func isAsWanted(live, want *admissionv1.ValidatingWebhookConfiguration) bool {
	return isPaused(live) == isPaused(want) &&
		equality.Semantic.DeepEqual(live.Webhooks, want.Webhooks) &&
		equality.Semantic.DeepEqual(live.OwnerReferences, want.OwnerReferences)
}

// honourPause lets want be paused while live is.
func (k *Keeper) honourPause(live, want *admissionv1.ValidatingWebhookConfiguration) {
	if pause, ok := PauseOf(live.Annotations, k.now()); ok {
		annotate(want, pause)
		ignoreAll(want)
	}
}

func (k *Keeper) now() time.Time {
	if k.Now == nil {
		return time.Now()
	}
	return k.Now()
}

// owner is the installation's ClusterRole, so that the garbage collector takes
// the configuration away with it; nil where there is none.
func (k *Keeper) owner(ctx context.Context) (*metav1.OwnerReference, error) {
	if k.ClusterRole == "" {
		return nil, nil
	}
	role, err := k.Kube.RbacV1().ClusterRoles().Get(ctx, k.ClusterRole, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ClusterRole %q: %w", k.ClusterRole, err)
	}
	return &metav1.OwnerReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: role.Name, UID: role.UID}, nil
}

// PublishProfiles writes the profiles where the command line finds them.
func (k *Keeper) PublishProfiles(ctx context.Context) error {
	config := corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: ProfilesName, Namespace: k.Options.Namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "holdfast"}},
		Data:       map[string]string{},
	}
	for _, p := range k.Profiles.Profiles() {
		data, err := yaml.Marshal(p)
		if err != nil {
			return fmt.Errorf("encode profile %q: %w", p.Name, err)
		}
		config.Data[p.Name+".yaml"] = string(data)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encode profiles: %w", err)
	}
	_, err = k.Kube.CoreV1().ConfigMaps(config.Namespace).Patch(ctx, config.Name, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: fieldManager, Force: ptr.To(true)})
	if err != nil {
		return fmt.Errorf("publish profiles in ConfigMap %q: %w", config.Name, err)
	}
	return nil
}

func (k *Keeper) configurations() typedadmissionv1.ValidatingWebhookConfigurationInterface {
	return k.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
}
