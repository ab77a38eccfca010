// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
	"github.com/holdfast-dev/holdfast/test/controlplane"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

// house is the namespace of the Astartes.
const house = "iot"

// astarteSpecs find the database by an Astarte resource on a real API server, in
// every form that the operator's versions have for it.
func astarteSpecs(database func() *cassandra.Cluster) {
	Context("that finds the database by the Astarte resource", func() {
		var plane *controlplane.Cluster
		var admin harness.Runner
		BeforeAll(func(ctx SpecContext) {
			var err error
			plane, err = controlplane.Start(ctx, controlplane.Options{})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() error { return plane.Stop() })
			admin = harness.Runner{Cluster: plane, Kubeconfig: plane.Kubeconfig, Binary: binary}
			ca, err := os.ReadFile(database().CAFile)
			Expect(err).NotTo(HaveOccurred())
			create(ctx, admin, fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}
---
{apiVersion: v1, kind: Secret, metadata: {name: login, namespace: %[1]s}, stringData: {u: %s, p: %s}}
---
{apiVersion: v1, kind: Secret, metadata: {name: stale, namespace: %[1]s}, stringData: {u: %[2]s, p: old}}
---
{apiVersion: v1, kind: Secret, metadata: {name: ca, namespace: %[1]s}, data: {ca.crt: %[4]s}}
`, house, database().Username, database().Password, base64.StdEncoding.EncodeToString(ca)))
		}, NodeTimeout(3*time.Minute))

		// by are the flags of a command that goes by an Astarte. A client certificate
		// is nothing that an Astarte names.
		by := func(name, kubeconfig string) []string {
			c := database()
			return []string{"--astarte", name, "-n", house, "--kubeconfig", kubeconfig, "--tls-cert", c.ClientCertFile, "--tls-key", c.ClientKeyFile}
		}
		const login, tls = `{name: login, usernameKey: u, passwordKey: p}`, `{%s: true, customCASecret: {name: ca}, customSNI: db.example}`

		DescribeTable("purges with what each version of the operator knows of it", func(ctx SpecContext, operator, version, spec string) {
			host, port, err := net.SplitHostPort(database().Hosts[0])
			Expect(err).NotTo(HaveOccurred())
			installAstarte(ctx, admin, operator)
			spec = strings.NewReplacer("HOST", host, "PORT", port, "USER", database().Username, "PASSWORD", database().Password).Replace(spec)
			create(ctx, admin, astarteOf(version, "mine", spec))
			g := newGround(ctx, database(), realm.V1_2, "inst")
			g.furnish(ctx, 2)
			before := g.dump(ctx)
			g.flags = by("mine", plane.Kubeconfig)
			if strings.Contains(spec, "astarteInstanceID") {
				g.instance = "" // the Astarte says it
			}
			out := g.holdfast(ctx, g.confirmed(ctx, stream)...)
			Expect(out.Code).To(BeZero(), out.Stderr)
			g.expectPurged(ctx, before, stream)
		},
			Entry("1.0.4", NodeTimeout(3*time.Minute), "v1.0.4", "v1alpha2", `{cassandra: {deploy: false, nodes: "HOST:PORT", connection: {secret: `+login+`, sslConfiguration: `+fmt.Sprintf(tls, "enabled")+`}}}`),
			Entry("23.5.2", NodeTimeout(3*time.Minute), "v23.5.2", "v1alpha2", `{cassandra: {deploy: false, nodes: " HOST:PORT, ", connection: {secret: `+login+`, sslConfiguration: `+fmt.Sprintf(tls, "enabled")+`}}}`),
			Entry("24.5.1", NodeTimeout(3*time.Minute), "v24.5.1", "v1alpha3", `{astarteInstanceID: inst, cassandra: {deploy: false, nodes: "HOST:PORT", connection: {username: "USER", password: "PASSWORD", sslConfiguration: `+fmt.Sprintf(tls, "enable")+`}}}`),
			Entry("the coming one", NodeTimeout(3*time.Minute), "v2alpha1", "v2alpha1", `{astarteInstanceID: inst, cassandra: {connection: {nodes: [{host: "HOST", port: PORT}], credentialsSecret: `+login+`, sslConfiguration: `+fmt.Sprintf(tls, "enabled")+`}}}`),
		)

		It("says in one line what is wrong with it", func(ctx SpecContext) {
			g := &ground{Realm: &realm.Realm{Names: realm.Names{Realm: "test"}}, state: GinkgoT().TempDir()}
			expect := func(name, kubeconfig string, code int, says ...string) {
				GinkgoHelper()
				g.flags = by(name, kubeconfig)
				out := g.holdfast(ctx, "interfaces", "--realm", "test")
				Expect(out.Code).To(Equal(code), "%s: %s", name, out.Stderr)
				Expect(strings.Split(strings.TrimSpace(out.Stderr), "\n")).To(HaveLen(1), out.Stderr)
				Expect(out.Stderr).To(HavePrefix("holdfast: "))
				for _, text := range says {
					Expect(out.Stderr).To(ContainSubstring(text), name)
				}
				Expect(out.Stdout).To(BeEmpty())
			}
			expect("any", plane.Kubeconfig, 2, `there is no Astarte "any": this cluster does not know the kind`)
			installAstarte(ctx, admin, "v23.5.2")
			for name, cassandra := range map[string]string{
				"embedded": `{storage: {size: 1Gi}}`,
				"nowhere":  `{deploy: false}`,
				"strange":  `{deploy: false, nodes: [{host: db1}]}`,
				"lost":     `{deploy: false, nodes: db1, connection: {secret: {name: gone}}}`,
				"keyless":  `{deploy: false, nodes: db1, connection: {secret: {name: login}}}`,
				"stale": fmt.Sprintf(`{deploy: false, nodes: %q, connection: {secret: {name: stale, usernameKey: u, passwordKey: p}, sslConfiguration: %s}}`,
					database().Hosts[0], fmt.Sprintf(tls, "enabled")),
			} {
				create(ctx, admin, astarteOf("v1alpha2", name, "{cassandra: "+cassandra+"}"))
			}
			nobody, err := plane.KubeconfigForUser("nobody")
			Expect(err).NotTo(HaveOccurred())
			expect("missing", plane.Kubeconfig, 2, `there is no Astarte "missing" in namespace "iot"; name its namespace with -n`)
			expect("stale", nobody, 1, `read Astarte "stale"`, `User "nobody" cannot get resource "astartes"`, "ask for this right")
			expect("nowhere", plane.Kubeconfig, 1, `read Astarte "nowhere": spec.cassandra names no nodes; name the database with --hosts`)
			expect("strange", plane.Kubeconfig, 1, `read Astarte "strange": spec.cassandra.nodes is no text; name the database with --hosts`)
			expect("lost", plane.Kubeconfig, 1, `read Secret "gone" that the Astarte names: secrets "gone" not found`)
			expect("keyless", plane.Kubeconfig, 1, `read Secret "login" that the Astarte names: it has no key "username"`)
			expect("stale", plane.Kubeconfig, 1, "password are incorrect")
			expect("embedded", plane.Kubeconfig, 1, "embedded-cassandra.iot.svc", `what Astarte "embedded" names`, "kubectl port-forward")
			create(ctx, admin, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: iot}, rules: [{apiGroups: [api.astarte-platform.org], resources: [astartes], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader, namespace: iot}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: nobody}]}`)
			expect("stale", nobody, 1, `read Secret "stale" that the Astarte names`, `User "nobody" cannot get resource "secrets"`)
		}, NodeTimeout(3*time.Minute))
	})
}

func astarteOf(version, name, spec string) string {
	return fmt.Sprintf("{apiVersion: api.astarte-platform.org/%s, kind: Astarte, metadata: {name: %s, namespace: %s}, spec: %s}", version, name, house, spec)
}

func create(ctx SpecContext, admin harness.Runner, text string) {
	GinkgoHelper()
	r := admin.RunInput(ctx, text, "kubectl", "create", "-f", "-")
	Expect(r.Code).To(BeZero(), r.Output)
}

// installAstarte makes the kind of one version of the operator known, without
// its conversion webhook, which nobody serves here. It goes after the spec.
func installAstarte(ctx SpecContext, admin harness.Runner, operator string) {
	GinkgoHelper()
	path, err := harness.Testdata(ctx, "astarte", "crds-"+operator+".yaml")
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	const name = "astartes.api.astarte-platform.org"
	for _, doc := range strings.Split(string(text), "\n---\n") {
		crd := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(doc), &crd.Object)).To(Succeed())
		if crd.GetName() != name {
			continue
		}
		unstructured.RemoveNestedField(crd.Object, "spec", "conversion")
		out, err := yaml.Marshal(crd.Object)
		Expect(err).NotTo(HaveOccurred())
		create(ctx, admin, string(out))
	}
	r := admin.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", name)
	Expect(r.Code).To(BeZero(), r.Output)
	DeferCleanup(func(ctx SpecContext) {
		r := admin.Kubectl(ctx, "delete", "crd", name, "--wait")
		Expect(r.Code).To(BeZero(), r.Output)
	})
}
