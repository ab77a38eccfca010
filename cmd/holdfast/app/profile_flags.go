// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// profileFlags say which profiles are switched on.
type profileFlags struct {
	names []string
	files []string
	flags *pflag.FlagSet
}

func addProfileFlags(flags *pflag.FlagSet, defaultHelp string) *profileFlags {
	f := &profileFlags{flags: flags}
	flags.StringSliceVar(&f.names, "profiles", nil, fmt.Sprintf("built-in profiles to switch on, of %v (default: %s)", profile.BuiltinNames(), defaultHelp))
	flags.StringArrayVar(&f.files, "profile-file", nil, "a YAML file with profiles of your own; may be given several times")
	return f
}

// set is the profiles that the flags name. Every error is one of the user's input.
func (f *profileFlags) set() (*profile.Set, error) {
	var all []*v1alpha1.GuardProfile
	for _, name := range f.names {
		p, err := profile.Builtin(name)
		if err != nil {
			return nil, usagef("--profiles: %w", err)
		}
		all = append(all, p)
	}
	for _, file := range f.files {
		profiles, err := profile.File(file)
		if err != nil {
			return nil, usagef("--profile-file: %w", err)
		}
		all = append(all, profiles...)
	}
	set, err := profile.NewSet(all...)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return set, nil
}

// forCluster is the profiles that the flags name; without flags those that
// 'holdfast serve' has published in the cluster; and all built-in ones where
// it has not, or where that may not be read: recovery works without serve.
func (f *profileFlags) forCluster(ctx context.Context, c *cluster) (*profile.Set, error) {
	if f.flags.Changed("profiles") || f.flags.Changed("profile-file") {
		return f.set()
	}
	published, err := c.kube.CoreV1().ConfigMaps(c.holdfastNamespace).Get(ctx, registration.ProfilesName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return (&profileFlags{names: profile.BuiltinNames()}).set()
	case err != nil:
		return nil, c.explain(fmt.Errorf("read the profiles that are switched on: %w", err))
	}
	var all []*v1alpha1.GuardProfile
	for _, key := range slices.Sorted(maps.Keys(published.Data)) {
		profiles, err := profile.Parse([]byte(published.Data[key]))
		if err != nil {
			return nil, fmt.Errorf("profile %q in ConfigMap %q: %w; name the profiles with --profiles and --profile-file", key, registration.ProfilesName, err)
		}
		all = append(all, profiles...)
	}
	return profile.NewSet(all...)
}
