// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// jobs are the arguments of every pod that the manifest makes, by its name.
func jobs(manifest string) map[string][]string {
	GinkgoHelper()
	pods := map[string][]string{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(manifest)), 4096)
	for {
		var job batchv1.Job
		if decoder.Decode(&job) != nil {
			return pods
		}
		if job.Kind != "Job" {
			continue
		}
		args := job.Spec.Template.Spec.Containers[0].Args
		name := job.Name[strings.LastIndexByte(job.Name, '-')+1:]
		if job.Spec.Completions == nil {
			pods[name] = args
			continue
		}
		for i := range int(*job.Spec.Completions) {
			var expanded []string
			for _, arg := range args {
				expanded = append(expanded, strings.ReplaceAll(arg, "$(JOB_COMPLETION_INDEX)", strconv.Itoa(i)))
			}
			pods[name+strconv.Itoa(i)] = expanded
		}
	}
}

var _ = Describe("shards", func() {
	DescribeTable("the manifest's processes end in the same state as one", func(ctx SpecContext, i realm.Interface) {
		p := newPlace(ctx, realm.V1_3)
		p.load(ctx, i, 30)
		p.load(ctx, datastream("com.example.Neighbour", 1), 10)
		before := p.dump(ctx)
		shared := GinkgoT().TempDir()
		p.journal = filepath.Join(shared, "journal")
		printed := holdfast(ctx, p.purgeArgs(i, "--print-job", "3", "--writers-stopped", "--backup", filepath.Join(shared, "backup"))...)
		Expect(printed.code).To(Equal(0), printed.err)
		Expect(printed.out).To(ContainSubstring("completionMode: Indexed"))
		pods := jobs(printed.out)
		Expect(pods).To(HaveLen(5))
		Expect(p.dump(ctx)).To(Equal(before), "printing changes nothing")

		// All begin at once, as pods do; one of the sweepers is killed at once and begun again.
		running := map[string]*exec.Cmd{}
		outputs := map[string]*bytes.Buffer{}
		for name, args := range pods {
			running[name], outputs[name] = p.start(ctx, args)
		}
		Expect(running["sweep1"].Process.Kill()).To(Succeed())
		_ = running["sweep1"].Wait()
		running["sweep1"], outputs["sweep1"] = p.start(ctx, pods["sweep1"])
		for name, cmd := range running {
			Expect(cmd.Wait()).To(Succeed(), name+": "+outputs[name].String())
		}
		Expect(p.dump(ctx)).To(Equal(before.Without(i)))

		// Any pod can be run again, also when all is done.
		for name, args := range pods {
			cmd, out := p.start(ctx, args)
			Expect(cmd.Wait()).To(Succeed(), name+": "+out.String())
		}
		r := holdfast(ctx, "recovery", "restore-interface", "--hosts", p.hosts[0], "--backup", filepath.Join(shared, "backup"), "--yes")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Untimed()).To(Equal(before.Untimed()))
	},
		Entry("a datastream", datastream("com.example.Values", 1)),
		Entry("an object", object("com.example.Position", 1)),
	)

	It("a real API server takes the manifest", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_3)
		i := datastream("com.example.Values", 1)
		p.load(ctx, i, 3)
		printed := holdfast(ctx, p.purgeArgs(i, "--print-job", "3", "--writers-stopped")...)
		Expect(printed.code).To(Equal(0), printed.err)
		cluster, err := controlplane.Start(ctx, controlplane.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
		kubectl := exec.CommandContext(ctx, filepath.Join(cluster.Bin, "kubectl"), "--kubeconfig", cluster.Kubeconfig,
			"create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
		kubectl.Stdin = strings.NewReader(printed.out)
		out, err := kubectl.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(strings.Count(string(out), "job.batch/")).To(Equal(3), string(out))
	})

	DescribeTable("a shard that cannot be one is an input error", func(ctx SpecContext, shard string) {
		r := holdfast(ctx, "recovery", "purge-interface", "--hosts", "127.0.0.1:1", "--realm", "test", "--interface", "com.example.Values", "--major", "1", "--shard", shard, "--confirm", "x")
		Expect(r.code).To(Equal(2), r.err)
	},
		Entry("an index past the end", "3/3"), Entry("no number", "x/3"), Entry("none at all", "0/0"), Entry("too many", "0/99999"),
	)

	It("a shard with another plan's digest is refused", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		i := datastream("com.example.Values", 1)
		p.load(ctx, i, 3)
		made := p.plan(ctx, i)
		r := holdfast(ctx, p.purgeArgs(i, "--writers-stopped", "--shard", "prepare/2", "--confirm", made.Digest)...)
		Expect(r.code).To(Equal(0), r.err)
		before := p.dump(ctx)
		r = holdfast(ctx, p.purgeArgs(i, "--shard", "0/2", "--confirm", "0123456789abcdef")...)
		Expect(r.code).To(Equal(4))
		r = holdfast(ctx, p.purgeArgs(i, "--shard", "0/3", "--confirm", made.Digest)...)
		Expect(r.code).To(Equal(2))
		Expect(p.dump(ctx)).To(Equal(before))
	})
})
