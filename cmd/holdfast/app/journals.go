// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/recovery/journal"
)

// journals keeps the journals of recoveries of many steps in this cluster.
func (c *cluster) journals(ctx context.Context) (*journal.Keeper, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	// Journals of different clusters must not be taken for each other; the UID of
	// this namespace, which cannot be deleted, tells clusters apart.
	system, err := c.kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("tell which cluster this is: %w", err)
	}
	return &journal.Keeper{
		Kube: c.kube, Namespace: c.holdfastNamespace, Dir: filepath.Join(dir, "recovery", string(system.UID)),
		Self: journal.Self(whoAmI(ctx, c).Username), Now: time.Now,
	}, nil
}
