// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gocql/gocql"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/process"
)

func TestCassandra(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_ORPHAN") != "" {
		abandon(t)
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "Cassandra")
}

// abandon is what the suite runs in a second process and then kills: it starts
// a process as a node is started, says where it is, and waits for the end.
func abandon(t *testing.T) {
	t.Helper()
	dir, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	child, err := process.Start(exec.CommandContext(t.Context(), "sleep", "3600"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(os.Stderr, "%d %s\n", child.PID(), dir.path)
	<-child.Ended()
}

var _ = Describe("a cluster", func() {
	It("of one node answers, stops, starts with its data, and leaves nothing", func(ctx SpecContext) {
		cluster, err := Start(ctx, Options{Config: map[string]any{"cluster_name": "mine"}})
		Expect(err).NotTo(HaveOccurred())
		session, err := cluster.Session()
		Expect(err).NotTo(HaveOccurred())
		var name string
		Expect(session.Query("SELECT cluster_name FROM system.local").Scan(&name)).To(Succeed())
		Expect(name).To(Equal("mine"))
		Expect(session.Query("CREATE KEYSPACE k WITH replication = {'class':'SimpleStrategy','replication_factor':1}").Exec()).To(Succeed())

		node := cluster.Nodes[0]
		Expect(node.Start(ctx)).To(MatchError(ContainSubstring("it runs already")))
		Expect(node.Stop(ctx)).To(Succeed())
		Expect(node.PID()).To(BeZero())
		Expect(node.Stop(ctx)).To(Succeed())
		Expect(node.Start(ctx)).To(Succeed())
		again, err := cluster.Session()
		Expect(err).NotTo(HaveOccurred())
		Expect(again.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name='k'").Scan(&name)).To(Succeed())

		pid, dir := node.PID(), cluster.folder.path
		Expect(cluster.Close()).To(Succeed())
		Expect(syscall.Kill(pid, 0)).To(MatchError(syscall.ESRCH))
		Expect(dir).NotTo(BeADirectory())
	}, NodeTimeout(2*time.Minute))

	It("checks passwords, permissions, certificates and guardrails", func(ctx SpecContext) {
		cluster, err := Start(ctx, Options{
			Authentication: true,
			TLS:            &TLS{ServerName: "db.example", RequireClientCertificate: true},
			Guardrails:     map[string]any{"drop_truncate_table_enabled": false},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cluster.Close)
		session, err := cluster.Session()
		Expect(err).NotTo(HaveOccurred())
		for _, statement := range []string{
			"CREATE KEYSPACE k WITH replication = {'class':'SimpleStrategy','replication_factor':1}",
			"CREATE TABLE k.t (a int PRIMARY KEY)",
			"CREATE ROLE app WITH PASSWORD = 'app' AND LOGIN = true",
			"GRANT SELECT ON k.t TO app",
		} {
			Expect(session.Query(statement).Exec()).To(Succeed(), statement)
		}
		app, err := cluster.SessionAs("app", "app")
		Expect(err).NotTo(HaveOccurred())
		Expect(app.Query("INSERT INTO k.t (a) VALUES (1)").Exec()).To(MatchError(ContainSubstring("no MODIFY permission")))
		Expect(session.Query("GRANT ALL ON KEYSPACE k TO app").Exec()).To(Succeed())
		Expect(app.Query("INSERT INTO k.t (a) VALUES (1)").Exec()).To(Succeed(), "a GRANT counts at once")
		Expect(app.Query("DROP TABLE k.t").Exec()).To(MatchError(ContainSubstring("Guardrail drop_truncate_table_enabled violated")))
		_, err = cluster.SessionAs("app", "wrong")
		Expect(err).To(MatchError(ContainSubstring("password are incorrect")))

		unnamed := clientOf(cluster)
		unnamed.ServerName = ""
		_, err = unnamed.Session()
		Expect(err).To(MatchError(ContainSubstring("doesn't contain any IP SANs")))
		nobody := clientOf(cluster)
		nobody.ClientCertFile, nobody.ClientKeyFile = "", ""
		_, err = nobody.Session()
		Expect(err).To(HaveOccurred(), "a certificate is asked for")
		plain := clientOf(cluster)
		plain.CAFile = ""
		_, err = plain.Session()
		Expect(err).To(HaveOccurred())
	}, NodeTimeout(2*time.Minute))

	It("of two nodes sees one go and come back", func(ctx SpecContext) {
		cluster, err := Start(ctx, Options{Nodes: 2})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cluster.Close)
		Expect(cluster.Hosts[1]).To(Equal(strings.Replace(cluster.Hosts[0], "127.0.0.1", "127.0.0.2", 1)))
		session, err := cluster.Session()
		Expect(err).NotTo(HaveOccurred())
		Expect(cluster.Nodes[1].Stop(ctx)).To(Succeed())
		read := "SELECT id FROM " + readyKeyspace + ".ready"
		Eventually(func() error { return session.Query(read).Exec() }).WithTimeout(20 * time.Second).
			Should(MatchError(ContainSubstring("Cannot achieve consistency level ALL")))
		Expect(session.Query(read).Consistency(gocql.One).Exec()).To(Succeed())
		Expect(cluster.Nodes[1].Start(ctx)).To(Succeed())
		Expect(session.Query(read).Exec()).To(Succeed())
	}, NodeTimeout(3*time.Minute))

	It("that cannot start says why", func(ctx SpecContext) {
		_, err := Start(ctx, Options{Config: map[string]any{"no_such_setting": 1}})
		Expect(err).To(MatchError(ContainSubstring("no_such_setting")))
		GinkgoT().Setenv("HOLDFAST_TEST_CASSANDRA", "127.0.0.1:1")
		soon, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err = Start(soon, Options{})
		Expect(err).To(MatchError(And(ContainSubstring("HOLDFAST_TEST_CASSANDRA=127.0.0.1:1"), ContainSubstring("connection refused"))))
		_, err = Start(ctx, Options{Nodes: 3})
		Expect(err).To(MatchError("start Cassandra: 3 nodes asked for; use 1 or 2"))
	}, NodeTimeout(time.Minute))

	It("goes with a test process that is killed, and the next start takes its files away", func(ctx SpecContext) {
		test := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestCassandra$")
		test.Env = append(os.Environ(), "HOLDFAST_TEST_ORPHAN=1")
		out, err := test.StderrPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(test.Start()).To(Succeed())
		line, err := bufio.NewReader(out).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		word, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(word)
		Expect(err).NotTo(HaveOccurred())
		Expect(syscall.Kill(pid, 0)).To(Succeed())
		sweepFolders(filepath.Dir(dir))
		Expect(dir).To(BeADirectory(), "the files of a living process stay")

		Expect(test.Process.Kill()).To(Succeed())
		Expect(test.Wait()).NotTo(Succeed())
		Eventually(func() bool { return running(pid) }).WithTimeout(10 * time.Second).Should(BeFalse())
		sweepFolders(filepath.Dir(dir))
		Expect(dir).NotTo(BeADirectory())
	}, NodeTimeout(time.Minute))
})

// running tells if a process is there and not merely unburied: where nobody
// waits for orphans they stay as zombies.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

// clientOf is the cluster as another client may see it.
func clientOf(c *Cluster) *Cluster {
	return &Cluster{
		Hosts: c.Hosts, Username: c.Username, Password: c.Password,
		CAFile: c.CAFile, ClientCertFile: c.ClientCertFile, ClientKeyFile: c.ClientKeyFile, ServerName: c.ServerName,
	}
}
