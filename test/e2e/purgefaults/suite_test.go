// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package purgefaults purges interfaces from real Cassandra servers while
// something goes wrong: the process is killed, a node goes, a right is missing,
// somebody goes on writing. What a purge must do when nothing goes wrong is in
// the suite beside it.
package purgefaults

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/format"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

func TestPurgeFaults(t *testing.T) {
	RegisterFailHandler(Fail)
	format.MaxLength = 3000 // a whole keyspace in a failure helps nobody
	RunSpecs(t, "Purge faults")
}

// binary is the built holdfast.
var binary string

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	binary, err = harness.Build(ctx)
	Expect(err).NotTo(HaveOccurred())
})
