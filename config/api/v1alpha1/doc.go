// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API types of the group holdfast.dev.
//
// +kubebuilder:object:generate=true
// +groupName=holdfast.dev
package v1alpha1
