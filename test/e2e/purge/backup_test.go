// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// everyType has a mapping of every type of values.
func everyType() []realm.Mapping {
	var types []realm.ValueType
	for t := realm.Double; t <= realm.DateTimeArray; t++ {
		types = append(types, t)
	}
	return mappings(types...)
}

var _ = Describe("backup and restore", func() {
	restore := func(ctx SpecContext, p *place, dir string, args ...string) result {
		all := []string{"recovery", "restore-interface", "--hosts", p.hosts[0], "--backup", dir}
		return holdfast(ctx, append(all, args...)...)
	}

	DescribeTable("check 30: what was purged is restored to the byte, with new timestamps", func(ctx SpecContext, v realm.Version, i realm.Interface) {
		p := newPlace(ctx, v)
		i.Mappings = everyType()
		Expect(p.Install(ctx, i)).To(Succeed())
		_, err := p.Load(ctx, realm.Load{Interface: i, Devices: ids(12), Paths: 2, Rows: 4})
		Expect(err).NotTo(HaveOccurred())
		p.load(ctx, datastream("com.example.Neighbour", 1), 3)
		Expect(p.Declare(ctx, i, realm.DeviceID(1))).To(Succeed())
		before := p.dump(ctx)
		dir := filepath.Join(GinkgoT().TempDir(), "backup")
		r := p.purge(ctx, i, "--backup", dir)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(i)))

		r = restore(ctx, p, dir)
		Expect(r.code).To(Equal(4), "it must ask")
		Expect(restore(ctx, p, dir, "--dry-run").code).To(Equal(0))
		Expect(p.dump(ctx)).To(Equal(before.Without(i)))
		r = restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(0), r.err)
		after := p.dump(ctx)
		Expect(after.Untimed()).To(Equal(before.Untimed()))
		Expect(after["interfaces"]).NotTo(Equal(before["interfaces"]), "the timestamps must be new")
		r = restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("was restored from this backup before"))
		Expect(p.dump(ctx)).To(Equal(after), "restoring twice changes nothing")

		// And once more around: a purge after the restore finds all of it.
		r = p.purge(ctx, i)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(i)))
		r = restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Untimed()).To(Equal(before.Untimed()))
	},
		Entry("a datastream", realm.V1_0, realm.Interface{Name: "com.example.Draft", Kind: realm.Datastream}),
		Entry("properties", realm.V1_3, realm.Interface{Name: "com.example.Settings", Major: 1, Kind: realm.Properties}),
		Entry("an object with a long name", realm.Master, realm.Interface{Name: "com.example.very.long.interface.name.for.ObjectTable", Major: 12, Kind: realm.Object}),
		Entry("an object with its own timestamps", realm.V1_2, realm.Interface{Name: "com.example.Position", Major: 1, Kind: realm.Object, ExplicitTimestamp: true}),
	)

	It("check 30: a time to live goes on where it was, and what has expired stays away", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		i := realm.Interface{Name: "com.example.Values", Major: 1, Kind: realm.Datastream, Mappings: mappings(realm.Double)}
		Expect(p.Install(ctx, i)).To(Succeed())
		_, err := p.Load(ctx, realm.Load{Interface: i, Devices: ids(1), TTL: 5000})
		Expect(err).NotTo(HaveOccurred())
		_, err = p.Load(ctx, realm.Load{Interface: i, Devices: ids(2)[1:], TTL: 3, WithoutPathRows: true})
		Expect(err).NotTo(HaveOccurred())
		dir := filepath.Join(GinkgoT().TempDir(), "backup")
		Expect(p.purge(ctx, i, "--backup", dir).code).To(Equal(0))
		rows := func() (n int) {
			Expect(session.Session.Query("SELECT count(*) FROM " + p.Keyspace + ".individual_datastreams").WithContext(ctx).Scan(&n)).To(Succeed())
			return n
		}
		// The server's own clock says when the short one has expired.
		Expect(p.Exec(ctx, "CREATE TABLE "+p.Keyspace+".clock (k int PRIMARY KEY)")).To(Succeed())
		Expect(p.Exec(ctx, "INSERT INTO "+p.Keyspace+".clock (k) VALUES (1) USING TTL 4")).To(Succeed())
		Eventually(func() (n int) {
			Expect(session.Session.Query("SELECT count(*) FROM " + p.Keyspace + ".clock").WithContext(ctx).Scan(&n)).To(Succeed())
			return n
		}).Should(BeZero())
		r := restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.out).To(ContainSubstring("1 values whose time to live has ended"))
		Expect(rows()).To(Equal(1))
		var ttl int
		Expect(session.Session.Query("SELECT ttl(double_value) FROM " + p.Keyspace + ".individual_datastreams").WithContext(ctx).Scan(&ttl)).To(Succeed())
		Expect(ttl).To(And(BeNumerically(">", 4000), BeNumerically("<", 5000)))
	})

	It("check 30: a purge that was killed is restored all the same", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		i := datastream("com.example.Values", 1)
		p.load(ctx, i, 20)
		before := p.dump(ctx)
		dir := filepath.Join(GinkgoT().TempDir(), "backup")
		args := append(p.confirmed(ctx, i), "--backup", dir)
		var cmd *exec.Cmd
		killAt(s, fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), 30, &cmd)
		cmd, out := p.start(ctx, args)
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())
		Expect(p.dump(ctx).Count(i)).To(BeNumerically("<", before.Count(i)))
		r := restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("must not be resumed"))
		Expect(p.dump(ctx).Untimed()).To(Equal(before.Untimed()))
		Expect(holdfast(ctx, args...).code).To(Equal(1), "the purge must see that the interface is back")
		Expect(p.dump(ctx).Untimed()).To(Equal(before.Untimed()))
	})

	It("refuses to mix what was saved with an interface that was installed again", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		i := datastream("com.example.Values", 1)
		p.load(ctx, i, 3)
		dir := filepath.Join(GinkgoT().TempDir(), "backup")
		Expect(p.purge(ctx, i, "--backup", dir).code).To(Equal(0))
		Expect(p.Install(ctx, i)).To(Succeed())
		before := p.dump(ctx)
		r := restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(ContainSubstring("installed again after the purge"))
		Expect(p.dump(ctx)).To(Equal(before))
	})

	It("refuses a backup that was changed, and a folder that holds something else", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		i := datastream("com.example.Values", 1)
		p.load(ctx, i, 3)
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "holiday.jpg"), nil, 0o600)).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, i, "--backup", dir)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(ContainSubstring("is not empty"))
		Expect(p.dump(ctx)).To(Equal(before))
		Expect(restore(ctx, p, dir, "--yes").code).To(Equal(2))

		dir = filepath.Join(dir, "backup")
		p.journal = GinkgoT().TempDir()
		Expect(p.purge(ctx, i, "--backup", dir).code).To(Equal(0))
		files, err := filepath.Glob(filepath.Join(dir, "individual_datastreams-*"))
		Expect(err).NotTo(HaveOccurred())
		data, err := os.ReadFile(files[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(files[0], []byte(strings.Replace(string(data), string(data[40:44]), "xxxx", 1)), 0o600)).To(Succeed())
		r = restore(ctx, p, dir, "--yes")
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(ContainSubstring("checksum does not match"))
	})
})
