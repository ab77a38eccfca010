// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("on a server with passwords, permissions, TLS and guardrails, a purge", Ordered, ContinueOnFailure, func() {
	var cluster *cassandra.Cluster
	BeforeAll(func(ctx SpecContext) {
		var err error
		cluster, err = cassandra.Start(ctx, cassandra.Options{
			Authentication: true,
			TLS:            &cassandra.TLS{ServerName: "db.example", RequireClientCertificate: true},
			Guardrails: map[string]any{
				"drop_truncate_table_enabled": false, "allow_filtering_enabled": false, "user_timestamps_enabled": false,
				"page_size_fail_threshold": 40,
			},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() error { return cluster.Close() })
	}, NodeTimeout(5*time.Minute))

	// as runs the commands as another role, with those rights in the realm.
	as := func(ctx SpecContext, g *ground, role string, rights ...string) {
		GinkgoHelper()
		Expect(g.Exec(ctx, "CREATE ROLE IF NOT EXISTS "+role+" WITH PASSWORD = 'pass' AND LOGIN = true")).To(Succeed())
		for _, right := range rights {
			Expect(g.Exec(ctx, "GRANT "+right+" ON KEYSPACE "+g.Keyspace+" TO "+role)).To(Succeed())
		}
		Expect(g.Exec(ctx, "GRANT SELECT ON KEYSPACE "+g.Astarte+" TO "+role)).To(Succeed())
		file, err := cluster.WritePassword(role, "pass")
		Expect(err).NotTo(HaveOccurred())
		g.flags = replaced(replaced(cluster.Flags(), "--username", role), "--password-file", file)
	}

	It("says in one line what the connection lacks", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_0, "")
		g.furnish(ctx, 1)
		wrong, err := cluster.WritePassword("wrong", "wrong")
		Expect(err).NotTo(HaveOccurred())
		strange := filepath.Join(GinkgoT().TempDir(), "ca.pem")
		other, err := os.ReadFile(cluster.ClientCertFile)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(strange, other, 0o600)).To(Succeed())
		all := cluster.Flags()
		for _, c := range []struct {
			name  string
			flags []string
			says  string
		}{
			{"a wrong password", replaced(all, "--password-file", wrong), "password are incorrect"},
			{"no user", without(all, "--username", "--password-file"), "authentication required"},
			{"another authority", replaced(all, "--tls-ca", strange), "certificate"},
			{"no server name", without(all, "--tls-server-name"), "--tls-server-name"},
			{"no client certificate", without(all, "--tls-cert", "--tls-key"), "certificate"},
			{"no TLS", without(all, "--tls-ca", "--tls-cert", "--tls-key", "--tls-server-name"), "TLS"},
			{"a wrong port", replaced(all, "--hosts", "127.0.0.1:1"), "connection refused"},
		} {
			g.flags = c.flags
			out := g.holdfast(ctx, g.target(stream, "--dry-run")...)
			Expect(out.Code).To(Equal(1), c.name)
			Expect(out.Stderr).To(ContainSubstring(c.says), c.name)
			lines := strings.Split(strings.TrimSpace(out.Stderr), "\n")
			Expect(lines[len(lines)-1]).To(HavePrefix("holdfast: "), c.name)
			Expect(strings.Count(out.Stderr, "holdfast: ")).To(Equal(1), c.name)
			Expect(out.Stdout).To(BeEmpty(), c.name)
		}
	}, NodeTimeout(2*time.Minute))

	It("needs the right to write, says so, and goes on when it has it", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_2, "")
		g.furnish(ctx, 4)
		before := g.dump(ctx)
		as(ctx, g, "reader", "SELECT")
		args := g.confirmed(ctx, stream)
		out := g.holdfast(ctx, args...)
		Expect(out.Code).NotTo(BeZero())
		Expect(out.Stderr).To(And(ContainSubstring("User reader has no MODIFY permission"), ContainSubstring("run the same command again")))
		Expect(g.dump(ctx)).To(Equal(before), "nothing was changed")
		as(ctx, g, "reader", "MODIFY")
		out = g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)
		Expect(g.records()).To(ContainElement("closed"))
	}, NodeTimeout(2*time.Minute))

	It("does its deletes although guardrails forbid filtering and timestamps", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_2, "")
		g.furnish(ctx, 4)
		before := g.dump(ctx)
		as(ctx, g, "writer", "SELECT", "MODIFY")
		out := g.holdfast(ctx, g.confirmed(ctx, properties, "--backup", filepath.Join(g.state, "backup"))...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, properties)
		out = g.holdfast(ctx, "restore-interface", "--backup", filepath.Join(g.state, "backup"), "--yes")
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(g.dump(ctx).Untimed()).To(Equal(before.Untimed()))
	}, NodeTimeout(2*time.Minute))

	It("reads smaller pages than it wanted where a guardrail bounds them", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_2, "")
		g.furnish(ctx, 120)
		before := g.dump(ctx)
		as(ctx, g, "pager", "SELECT", "MODIFY")
		out := g.holdfast(ctx, "interfaces", "--realm", g.Realm.Realm, "-o", "name")
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(out.Stdout).To(ContainSubstring(stream.Name + "/v1"))
		out = g.holdfast(ctx, g.confirmed(ctx, stream)...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)
	}, NodeTimeout(2*time.Minute))

	It("needs the right to drop, and a guardrail that allows it, and says which of them is missing", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_2, "")
		g.furnish(ctx, 4)
		before := g.dump(ctx)
		as(ctx, g, "dropper", "SELECT", "MODIFY")
		args := g.confirmed(ctx, object)
		out := g.holdfast(ctx, args...)
		Expect(out.Code).NotTo(BeZero())
		Expect(out.Stderr).To(ContainSubstring("User dropper has no DROP permission"))
		as(ctx, g, "dropper", "DROP")
		out = g.holdfast(ctx, args...)
		Expect(out.Code).NotTo(BeZero())
		Expect(out.Stderr).To(And(ContainSubstring("drop_truncate_table_enabled"), ContainSubstring("superuser")))
		Expect(g.dump(ctx)[object.Table()]).To(Equal(before[object.Table()]), "the table is as it was")
		g.flags = cluster.Flags() // guardrails do not bind a superuser
		out = g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, object)
	}, NodeTimeout(2*time.Minute))

	astarteSpecs(func() *cassandra.Cluster { return cluster })
})

// replaced are flags with another value for one of them.
func replaced(flags []string, name, value string) []string {
	flags = slices.Clone(flags)
	flags[slices.Index(flags, name)+1] = value
	return flags
}

// without are flags without some of them and their values.
func without(flags []string, names ...string) []string {
	var rest []string
	for i := 0; i < len(flags); i += 2 {
		if !slices.Contains(names, flags[i]) {
			rest = append(rest, flags[i], flags[i+1])
		}
	}
	return rest
}
