// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package purge tests the purge of Astarte interfaces with the real commands,
// on a real Apache Cassandra; on a fake server what a real one cannot be told
// to do. The checks are numbered as in the list of what a purge must hold.
package purge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/recovery/cql"
	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var (
	server  *cassandra.Cluster
	session = &realm.Realm{} // for its session with the server
	program string
	number  atomic.Int64
)

func TestPurge(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Purge")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	server, err = cassandra.Start(ctx, cassandra.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(server.Close()).To(Succeed()) })
	session.Session, err = server.Session()
	Expect(err).NotTo(HaveOccurred())
	program = filepath.Join(GinkgoT().TempDir(), "holdfast")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/holdfast-dev/holdfast/cmd/holdfast").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}, NodeTimeout(5*time.Minute))

// place is a realm in a server, and folders of its own.
type place struct {
	*realm.Realm
	hosts   []string
	journal string
	extra   []string // further flags of every command
}

// newPlace makes a realm of a version on the real server.
func newPlace(ctx context.Context, v realm.Version) *place {
	GinkgoHelper()
	return placeOn(ctx, session, server.Hosts, realm.NamesOf(v, fmt.Sprintf("realm%d", number.Add(1)), ""), v)
}

func placeOn(ctx context.Context, s *realm.Realm, hosts []string, names realm.Names, v realm.Version) *place {
	GinkgoHelper()
	r, err := realm.Create(ctx, s.Session, v, names)
	Expect(err).NotTo(HaveOccurred())
	return &place{Realm: r, hosts: hosts, journal: GinkgoT().TempDir()}
}

// fake is a realm on a fake server.
func fake(ctx context.Context, o fakecql.Options) (*place, *fakecql.Server) {
	GinkgoHelper()
	s, err := fakecql.Start(o)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	c := &cassandra.Cluster{Hosts: s.Hosts()}
	DeferCleanup(func() { Expect(c.Close()).To(Succeed()) })
	connected, err := c.Session()
	Expect(err).NotTo(HaveOccurred())
	p := placeOn(ctx, &realm.Realm{Session: connected}, s.Hosts(), realm.NamesOf(realm.Master, "test", ""), realm.Master)
	return p, s
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

// holdfast runs a command without a terminal.
func holdfast(ctx context.Context, args ...string) result {
	GinkgoHelper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func (p *place) args(command string, args ...string) []string {
	all := append([]string{"recovery", command, "--hosts", strings.Join(p.hosts, ","), "--realm", p.Names.Realm}, p.extra...)
	return append(all, args...)
}

func (p *place) purgeArgs(i realm.Interface, args ...string) []string {
	all := p.args("purge-interface", "--interface", i.Name, "--major", fmt.Sprint(i.Major), "--journal", p.journal)
	return append(all, args...)
}

// plan is what the contract says about -o json.
type plan struct {
	Digest, Keyspace string
	Traces           []struct {
		Table, Kind string
		Estimate    int64
	}
	Dangers []struct{ Kind, Detail, Allow string }
	Devices struct{ Total, Declaring, Connected, DeclaringConnected int }
	Resumes string
}

// plan makes the plan of a purge.
func (p *place) plan(ctx context.Context, i realm.Interface, args ...string) plan {
	GinkgoHelper()
	r := holdfast(ctx, p.purgeArgs(i, append([]string{"--dry-run", "-o", "json"}, args...)...)...)
	Expect(r.code).To(Equal(0), r.err)
	var made plan
	Expect(json.Unmarshal([]byte(r.out), &made)).To(Succeed())
	return made
}

// confirmed are the arguments of a purge whose plan was looked at.
func (p *place) confirmed(ctx context.Context, i realm.Interface, args ...string) []string {
	GinkgoHelper()
	made := p.plan(ctx, i, without(args, "--backup")...)
	return p.purgeArgs(i, append([]string{"--confirm", made.Digest, "--writers-stopped"}, args...)...)
}

// without leaves out a flag and its value.
func without(args []string, flag string) []string {
	var rest []string
	for n := 0; n < len(args); n++ {
		if args[n] == flag {
			n++
			continue
		}
		rest = append(rest, args[n])
	}
	return rest
}

// purge purges an interface.
func (p *place) purge(ctx context.Context, i realm.Interface, args ...string) result {
	GinkgoHelper()
	return holdfast(ctx, p.confirmed(ctx, i, args...)...)
}

// dump is everything in the realm.
func (p *place) dump(ctx context.Context) realm.Dump {
	GinkgoHelper()
	d, err := p.Dump(ctx)
	Expect(err).NotTo(HaveOccurred())
	return d
}

// load installs an interface, and writes data on it for so many devices.
func (p *place) load(ctx context.Context, i realm.Interface, devices int) {
	GinkgoHelper()
	Expect(p.Install(ctx, i)).To(Succeed())
	_, err := p.Load(ctx, realm.Load{Interface: i, Devices: ids(devices), Paths: 2, Rows: 3})
	Expect(err).NotTo(HaveOccurred())
}

func ids(n int) []cql.UUID {
	var all []cql.UUID
	for i := range n {
		all = append(all, realm.DeviceID(i))
	}
	return all
}

func mappings(types ...realm.ValueType) []realm.Mapping {
	var all []realm.Mapping
	for n, t := range types {
		all = append(all, realm.Mapping{Endpoint: fmt.Sprintf("/%%{sensor_id}/v%d", n), Type: t})
	}
	return all
}

func datastream(name string, major int) realm.Interface {
	return realm.Interface{Name: name, Major: major, Kind: realm.Datastream, Mappings: mappings(realm.Double, realm.StringArray)}
}

func settings(major int) realm.Interface {
	return realm.Interface{Name: "com.example.Settings", Major: major, Kind: realm.Properties, Mappings: mappings(realm.String, realm.IntegerArray)}
}

func object(name string, major int) realm.Interface {
	return realm.Interface{Name: name, Major: major, Kind: realm.Object, ExplicitTimestamp: true, Mappings: mappings(realm.Double, realm.BinaryBlob, realm.DoubleArray)}
}

// started is the real program, running.
func (p *place) start(ctx context.Context, args []string) (*exec.Cmd, *bytes.Buffer) {
	GinkgoHelper()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	Expect(cmd.Start()).To(Succeed())
	return cmd, &out
}

// journals are the folders of the purges of an interface, oldest first.
func (p *place) journals(i realm.Interface) []string {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(p.journal, p.Keyspace, fmt.Sprintf("%s-v%d", i.Name, i.Major), "[0-9A-Z]*"))
	Expect(err).NotTo(HaveOccurred())
	return found
}

func (p *place) records(i realm.Interface) string {
	GinkgoHelper()
	dirs := p.journals(i)
	if len(dirs) == 0 {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(dirs[len(dirs)-1], "journal.jsonl"))
	if os.IsNotExist(err) {
		return ""
	}
	Expect(err).NotTo(HaveOccurred())
	return string(data)
}
