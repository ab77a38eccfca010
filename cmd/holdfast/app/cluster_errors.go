// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfigError says what is wrong with the kubeconfig. A context that it
// does not have is a wrong name; the rest means that there is no cluster.
func kubeconfigError(err error) error {
	err = fmt.Errorf("read kubeconfig: %w; check --kubeconfig and --context", err)
	if clientcmd.IsContextNotFound(err) {
		return &exitError{exitUsage, err}
	}
	return err
}

// explain adds to an error of the API server what the user can do about it.
// Errors that tell it already are left alone.
func (c *cluster) explain(err error) error {
	var connection *url.Error
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: the cluster at %s does not accept these credentials; check --kubeconfig, --context and --token", err, c.config.Host)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask for this right, or use a --context that has it", err)
	case apierrors.IsNotFound(err) && isNamespaceMissing(err, c.holdfastNamespace):
		return fmt.Errorf("%w; install Holdfast, or name its namespace with --holdfast-namespace", err)
	case errors.As(err, &connection):
		return fmt.Errorf("reach the cluster at %s: %w; check that it is up, and --kubeconfig and --context", c.config.Host, connection.Err)
	default:
		return err
	}
}

// isNamespaceMissing says that err is the refusal to create something in a
// namespace that does not exist.
func isNamespaceMissing(err error, namespace string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces" && details.Name == namespace
}
