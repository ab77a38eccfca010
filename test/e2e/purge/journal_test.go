// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// killAt kills the process when it sends the statement, before the server
// answers it.
func killAt(s *fakecql.Server, match func(fakecql.Request) bool, skip int, cmd **exec.Cmd) *fakecql.Injection {
	return s.Inject(fakecql.Fault{Match: match, Skip: skip, Times: 1, Drop: true, Do: func(fakecql.Request) { _ = (*cmd).Process.Signal(syscall.SIGKILL) }})
}

var _ = Describe("the journal", func() {
	values := datastream("com.example.Values", 1)

	It("check 07: the id is on disk before the first DELETE is sent", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, values)
		var cmd *exec.Cmd
		var seen string
		s.Inject(fakecql.Fault{Match: fakecql.Containing("DELETE FROM"), Times: 1, Drop: true, Do: func(fakecql.Request) {
			seen = p.records(values)
			_ = cmd.Process.Signal(syscall.SIGKILL)
		}})
		cmd, out := p.start(ctx, args)
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())
		Expect(seen).To(ContainSubstring(`"interfaceID":"` + values.ID().String() + `"`))
		Expect(seen).To(ContainSubstring(`"type":"detach"`))
		definition, err := filepath.Glob(filepath.Join(p.journals(values)[0], "definition", "*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(definition).To(ContainElement(HaveSuffix("interfaces-0001.jsonl.gz")))
	})

	DescribeTable("check 07: a disk that takes no journal stops it before any write", func(ctx SpecContext, spoil func(string)) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, values)
		spoil(p.journal)
		s.Forget()
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(1), r.err)
		for _, request := range s.AllRequests() {
			Expect(strings.TrimSpace(request.Text)).To(HavePrefix("SELECT"))
		}
	},
		Entry("a file in its place", func(dir string) {
			Expect(os.WriteFile(filepath.Join(dir, "test"), nil, 0o600)).To(Succeed())
		}),
		Entry("a folder that cannot be written", func(dir string) {
			Expect(os.MkdirAll(filepath.Join(dir, "test", "com.example.Values-v1", ".begin", "LOCK"), 0o700)).To(Succeed())
		}),
		Entry("a full disk", func(dir string) {
			path := filepath.Join(dir, "test", "com.example.Values-v1", ".begin")
			Expect(os.MkdirAll(path, 0o700)).To(Succeed())
			Expect(os.Symlink("/dev/full", filepath.Join(path, "LOCK.holder"))).To(Succeed())
		}),
	)

	target := object("com.example.Position", 0)
	DescribeTable("check 24: killed at any phase, the same command ends in the same state", func(ctx SpecContext, i realm.Interface, match func(fakecql.Request) bool, skip int) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, i, 12)
		p.load(ctx, settings(1), 5)
		for n := range 3 {
			Expect(p.Declare(ctx, i, realm.DeviceID(n))).To(Succeed())
		}
		before := p.dump(ctx)
		args := append(p.confirmed(ctx, i), "--backup", GinkgoT().TempDir())
		var cmd *exec.Cmd
		kill := killAt(s, match, skip, &cmd)
		cmd, out := p.start(ctx, args)
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())
		Expect(kill.Count()).To(Equal(1), "it was never killed: "+out.String())
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(i)))
		Expect(p.records(i)).To(ContainSubstring(`"closed"`))
		Expect(p.journals(i)).To(HaveLen(1))
	},
		Entry("phase 2, saving the definition", target, fakecql.Containing(`TTL("`), 0),
		Entry("phase 4, the batch", target, fakecql.Containing(`DELETE FROM "test"."interfaces"`), 0),
		Entry("phase 4, reading back", target, both(fakecql.Containing(`WRITETIME("interface_id")`), atAll), 1),
		Entry("phase 6, the cut", target, fakecql.Containing("SELECT now()"), 6),
		Entry("phase 7, the first range", target, fakecql.Containing("SELECT DISTINCT"), 0),
		Entry("phase 7, a range in the middle", datastream("com.example.Draft", 0), fakecql.Containing("SELECT DISTINCT"), 40),
		Entry("phase 7, a row of the backup", datastream("com.example.Draft", 0), fakecql.Containing(`TTL("double_value")`), 9),
		Entry("phase 7, the first delete", datastream("com.example.Draft", 0), fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), 0),
		Entry("phase 7, a later delete", datastream("com.example.Draft", 0), fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), 17),
		Entry("phase 7, a path row", datastream("com.example.Draft", 0), fakecql.Containing(`DELETE FROM "test"."individual_properties"`), 3),
		Entry("phase 7, the export", target, fakecql.Containing(`FROM "test"."com_example_position_v0" WHERE token`), 20),
		Entry("phase 7, the DROP", target, fakecql.Containing("DROP TABLE"), 0),
		Entry("phase 8, the second sweep", target, fakecql.Containing("SELECT DISTINCT"), 100),
		Entry("phase 9, the groups", target, fakecql.Containing(`DELETE FROM "test"."kv_store"`), 1),
		Entry("phase 10, the verification", target, both(fakecql.Containing("PER PARTITION LIMIT 1"), atAll), 3),
	)

	It("check 25: of two at once the second is refused", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, values)
		held := make(chan struct{})
		s.Inject(fakecql.Fault{Match: fakecql.Containing(`DELETE FROM "test"."interfaces"`), Times: 1, Do: func(fakecql.Request) { <-held }})
		first := make(chan result, 1)
		go func() { first <- holdfast(ctx, args...) }()
		Eventually(func() string { return p.records(values) }).Should(ContainSubstring(`"detach"`))
		second := holdfast(ctx, args...)
		Expect(second.code).To(Equal(1))
		Expect(second.err).To(And(ContainSubstring("another process works on this purge"), ContainSubstring("process")))
		close(held)
		Expect((<-first).code).To(Equal(0))
	})

	It("stops cleanly when it is interrupted, and goes on", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 10)
		before := p.dump(ctx)
		args := strings.Split(strings.Replace(strings.Join(p.confirmed(ctx, values), "\x00"), "--writers-stopped", "--quiesce-for=10m", 1), "\x00")
		cmd, out := p.start(ctx, args)
		Eventually(func() string { return p.records(values) }).Should(ContainSubstring(`"quiesce"`))
		Expect(cmd.Process.Signal(os.Interrupt)).To(Succeed())
		Expect(cmd.Wait()).NotTo(Succeed())
		Expect(cmd.ProcessState.ExitCode()).To(Equal(3), out.String())
		Expect(out.String()).To(ContainSubstring("run the same command again"))
		Expect(p.records(values)).NotTo(ContainSubstring(`"cut"`))
		r := holdfast(ctx, append(args, "--writers-stopped")...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
	}, NodeTimeout(time.Minute))
})

func both(a, b func(fakecql.Request) bool) func(fakecql.Request) bool {
	return func(r fakecql.Request) bool { return a(r) && b(r) }
}

// atAll matches what must reach all replicas.
func atAll(r fakecql.Request) bool { return r.Consistency == "ALL" }
