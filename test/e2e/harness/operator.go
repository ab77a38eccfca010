// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
)

// Operator is an installation of an operator as Helm would leave it, without
// Helm's own record. Its Pods find no node.
type Operator struct {
	// Namespace and Release name it; the Deployment and the ServiceAccount are
	// called like the release.
	Namespace, Release string
	// CRDs are the definitions that it owns, which exist.
	CRDs []string
	// Without its Deployment it is away.
	Away bool
}

// User is the name under which the operator makes requests.
func (o Operator) User() string { return "system:serviceaccount:" + o.Namespace + ":" + o.Release }

// Install makes the operator's objects and marks its definitions. The operator
// may do anything.
func (o Operator) Install(ctx context.Context, admin Runner) error {
	marks := fmt.Sprintf("labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: %s, meta.helm.sh/release-namespace: %s}", o.Release, o.Namespace)
	text := fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[2]s, namespace: %[1]s, %[3]s}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: "%[1]s-%[2]s"}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: %[2]s, namespace: %[1]s}]}
`, o.Namespace, o.Release, marks)
	if !o.Away {
		text += fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s, %[3]s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec: {serviceAccountName: %[2]s, containers: [{name: manager, image: example.invalid/operator}]}
`, o.Namespace, o.Release, marks)
	}
	if r := admin.RunInput(ctx, text, "kubectl", "apply", "--server-side", "-f", "-"); r.Code != 0 {
		return fmt.Errorf("install operator: kubectl exited with %d: %s", r.Code, r.Stderr)
	}
	for _, crd := range o.CRDs {
		r := admin.Kubectl(ctx, "annotate", "--overwrite", "crd", crd, "meta.helm.sh/release-name="+o.Release, "meta.helm.sh/release-namespace="+o.Namespace)
		if r.Code != 0 {
			return fmt.Errorf("install operator: kubectl exited with %d: %s", r.Code, r.Stderr)
		}
	}
	return nil
}
