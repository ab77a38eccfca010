// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
)

var _ = Describe("on one node, a purge", Ordered, ContinueOnFailure, func() {
	var cluster *cassandra.Cluster
	BeforeAll(func(ctx SpecContext) {
		var err error
		cluster, err = cassandra.Start(ctx, cassandra.Options{Config: map[string]any{
			"tombstone_warn_threshold": tombstoneThreshold / 2, "tombstone_failure_threshold": tombstoneThreshold,
		}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() error { return cluster.Close() })
	}, NodeTimeout(2*time.Minute))
	running := func() *cassandra.Cluster { return cluster }

	describeProperty(running)
	describeKills(running)
	describeWriters(running)
	describeTombstones(running)
	describeManual(running)
	describeMemory(running)
})
