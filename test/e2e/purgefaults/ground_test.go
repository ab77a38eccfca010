// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// ground is one realm on a cluster, with the journals of its purges.
type ground struct {
	*realm.Realm
	cluster  *cassandra.Cluster
	flags    []string
	state    string // a folder for the journals
	instance string
}

var realms atomic.Int32

// newGround makes an empty realm of its own.
func newGround(ctx context.Context, cluster *cassandra.Cluster, v realm.Version, instance string) *ground {
	GinkgoHelper()
	session, err := cluster.Session()
	Expect(err).NotTo(HaveOccurred())
	names := realm.NamesOf(v, "realm"+strconv.Itoa(int(realms.Add(1))), instance)
	names.Replication = max(len(cluster.Nodes), 1)
	r, err := realm.Create(ctx, session, v, names)
	Expect(err).NotTo(HaveOccurred())
	return &ground{Realm: r, cluster: cluster, flags: cluster.Flags(), state: GinkgoT().TempDir(), instance: instance}
}

// outcome is how a command ended.
type outcome struct {
	Code           int
	Stdout, Stderr string
	RSS            int64 // bytes, at the most
}

// running is a command that has been started.
type running struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan error
}

func (g *ground) start(ctx context.Context, args ...string) *running {
	GinkgoHelper()
	r := &running{cmd: exec.CommandContext(ctx, binary, append(append([]string{"recovery"}, args...), g.flags...)...), ended: make(chan error, 1)}
	r.cmd.Env = []string{"HOME=" + g.state, "XDG_STATE_HOME=" + g.state, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	Expect(r.cmd.Start()).To(Succeed())
	go func() { r.ended <- r.cmd.Wait() }()
	return r
}

func (r *running) wait() outcome {
	GinkgoHelper()
	err := <-r.ended
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		Fail(err.Error())
	}
	usage, _ := r.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return outcome{r.cmd.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String(), usage.Maxrss << 10}
}

// kill ends the command as a crash would.
func (r *running) kill() outcome {
	GinkgoHelper()
	_ = r.cmd.Process.Kill() // it may have ended
	return r.wait()
}

func (g *ground) holdfast(ctx context.Context, args ...string) outcome {
	GinkgoHelper()
	return g.start(ctx, args...).wait()
}

// target are the arguments that name what to purge.
func (g *ground) target(i realm.Interface, more ...string) []string {
	args := []string{"purge-interface", "--realm", g.Realm.Realm, "--interface", i.Name, "--major", strconv.Itoa(i.Major)}
	if g.instance != "" {
		args = append(args, "--instance-id", g.instance)
	}
	return append(args, more...)
}

// digest is the plan's, as a dry-run gives it.
func (g *ground) digest(ctx context.Context, i realm.Interface, more ...string) string {
	GinkgoHelper()
	out := g.holdfast(ctx, g.target(i, append(more, "--dry-run", "-o", "json")...)...)
	Expect(out.Code).To(BeZero(), out.Stderr)
	var plan struct{ Digest string }
	Expect(json.Unmarshal([]byte(out.Stdout), &plan)).To(Succeed(), out.Stdout)
	return plan.Digest
}

// confirmed are the arguments of a purge that nothing but a danger stops.
func (g *ground) confirmed(ctx context.Context, i realm.Interface, more ...string) []string {
	GinkgoHelper()
	return g.target(i, append(more, "--writers-stopped", "--confirm", g.digest(ctx, i))...)
}

// records are the types of the journal's records so far, in their order.
func (g *ground) records() []string {
	GinkgoHelper()
	journals, err := filepath.Glob(filepath.Join(g.state, "holdfast", "purge", "*", "*", "*", "journal.jsonl"))
	Expect(err).NotTo(HaveOccurred())
	var types []string
	for _, journal := range journals {
		text, err := os.ReadFile(journal)
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(text)) {
			var record struct{ Type string }
			if json.Unmarshal([]byte(line), &record) == nil { // the last one may be torn
				types = append(types, record.Type)
			}
		}
	}
	return types
}

// killAt starts a command and kills it as soon as its journal has a record of
// the type.
func (g *ground) killAt(ctx context.Context, record string, args ...string) {
	GinkgoHelper()
	r := g.start(ctx, args...)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if slices.Contains(g.records(), record) {
			r.kill()
			return
		}
		select {
		case err := <-r.ended:
			Fail(fmt.Sprintf("it ended (%v) without a record %q: %v\n%s%s", err, record, g.records(), r.stdout.String(), r.stderr.String()))
		case <-tick.C:
		}
	}
}

func (g *ground) dump(ctx context.Context) realm.Dump {
	GinkgoHelper()
	d, err := g.Dump(ctx)
	Expect(err).NotTo(HaveOccurred())
	return d
}

// expectPurged checks that what is left of before is everything but the interface.
func (g *ground) expectPurged(ctx context.Context, before realm.Dump, i realm.Interface) {
	GinkgoHelper()
	after := g.dump(ctx)
	Expect(after.Count(i)).To(BeZero(), "traces of %s v%d are left", i.Name, i.Major)
	Expect(cmp.Diff(before.Without(i), after)).To(BeEmpty(), "other data has changed")
}

func (g *ground) install(ctx context.Context, load realm.Load) {
	GinkgoHelper()
	Expect(g.Install(ctx, load.Interface)).To(Succeed())
	g.load(ctx, load)
}

func (g *ground) load(ctx context.Context, load realm.Load) realm.Loaded {
	GinkgoHelper()
	done, err := g.Load(ctx, load)
	Expect(err).NotTo(HaveOccurred())
	return done
}

// The interfaces that most specs use: one of each kind.
var (
	stream = realm.Interface{Name: "com.test.Stream", Major: 1, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/%{id}/value", Type: realm.Double}, {Endpoint: "/%{id}/text", Type: realm.StringArray},
	}}
	other = realm.Interface{Name: "com.test.Other", Major: 1, Kind: realm.Datastream, Mappings: []realm.Mapping{
		{Endpoint: "/%{id}/value", Type: realm.Integer},
	}}
	properties = realm.Interface{Name: "com.test.Properties", Kind: realm.Properties, Mappings: []realm.Mapping{
		{Endpoint: "/%{id}/on", Type: realm.Boolean}, {Endpoint: "/%{id}/blob", Type: realm.BinaryBlob},
	}}
	object = realm.Interface{Name: "com.test.Object", Major: 1, Kind: realm.Object, ExplicitTimestamp: true, Mappings: []realm.Mapping{
		{Endpoint: "/%{id}/a", Type: realm.LongInteger}, {Endpoint: "/%{id}/b", Type: realm.DateTimeArray},
	}}
)

// furnish puts the four interfaces with data into the realm, and some devices
// that declare none of them.
func (g *ground) furnish(ctx context.Context, devices int) {
	GinkgoHelper()
	for _, id := range realm.DeviceIDs(0, devices) {
		Expect(g.AddDevice(ctx, realm.Device{ID: id, Introspection: map[string]int{"com.test.None": 1}, Old: map[string]int{stream.Name: 1}})).To(Succeed())
	}
	for _, i := range []realm.Interface{stream, other, properties, object} {
		g.install(ctx, realm.Load{Interface: i, Devices: realm.DeviceIDs(0, devices), Paths: 2, Rows: 2})
	}
}
