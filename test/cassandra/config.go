// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

//go:embed logback.xml
var logback []byte

type ports struct{ native, storage int }

// configure writes the node's configuration. JSON is YAML, so cassandra.yaml
// needs no YAML library.
func (n *Node) configure(options Options, p ports) error {
	settings := map[string]any{
		"cluster_name":                   "holdfast-" + filepath.Base(n.cluster.folder.path),
		"num_tokens":                     16,
		"partitioner":                    "org.apache.cassandra.dht.Murmur3Partitioner",
		"data_file_directories":          []string{filepath.Join(n.dir, "data")},
		"commitlog_directory":            filepath.Join(n.dir, "commitlog"),
		"hints_directory":                filepath.Join(n.dir, "hints"),
		"saved_caches_directory":         filepath.Join(n.dir, "saved_caches"),
		"cdc_raw_directory":              filepath.Join(n.dir, "cdc_raw"),
		"commitlog_sync":                 "periodic",
		"commitlog_sync_period":          "1000ms",
		"endpoint_snitch":                "SimpleSnitch",
		"listen_address":                 n.address,
		"rpc_address":                    n.address,
		"native_transport_port":          p.native,
		"storage_port":                   p.storage,
		"start_native_transport":         true,
		"auto_bootstrap":                 false, // there is nothing to stream, and it would cost 10 s
		"storage_compatibility_mode":     "NONE",
		"authenticator":                  "AllowAllAuthenticator",
		"authorizer":                     "AllowAllAuthorizer",
		"user_defined_functions_enabled": false,
		"seed_provider": []any{map[string]any{
			"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
			"parameters": []any{map[string]string{"seeds": net.JoinHostPort("127.0.0.1", strconv.Itoa(p.storage))}},
		}},
	}
	if options.Authentication {
		maps.Copy(settings, map[string]any{
			"authenticator": "PasswordAuthenticator",
			"authorizer":    "CassandraAuthorizer",
			"role_manager":  "CassandraRoleManager",
			// A GRANT or REVOKE of a test counts at once.
			"permissions_validity": "0ms",
			"roles_validity":       "0ms",
		})
	}
	if options.TLS != nil {
		encryption, err := n.cluster.encryption(*options.TLS)
		if err != nil {
			return err
		}
		settings["client_encryption_options"] = encryption
	}
	maps.Copy(settings, options.Guardrails)
	maps.Copy(settings, options.Config)
	text, err := json.MarshalIndent(settings, "", " ")
	if err != nil {
		return fmt.Errorf("write the settings of node %s: %w", n.Host, err)
	}
	if err := os.MkdirAll(filepath.Join(n.dir, "tmp"), 0o700); err != nil {
		return fmt.Errorf("write the settings of node %s: %w", n.Host, err)
	}
	for name, content := range map[string][]byte{"cassandra.yaml": text, "logback.xml": logback} {
		if err := os.WriteFile(filepath.Join(n.dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write the settings of node %s: %w", n.Host, err)
		}
	}
	return nil
}

// arguments are those of the JVM. No JMX is opened at all.
func (n *Node) arguments() []string {
	heap := strconv.Itoa(n.heapMiB) + "m"
	args := []string{
		"-Xms" + heap, "-Xmx" + heap, "-Xss512k", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
		"-Djava.io.tmpdir=" + filepath.Join(n.dir, "tmp"),
		"-Djdk.attach.allowAttachSelf=true",
		"-Dcassandra-foreground=yes",
		"-Dcassandra.config=file://" + filepath.Join(n.dir, "cassandra.yaml"),
		"-Dcassandra.storagedir=" + n.dir,
		"-Dcassandra.logdir=" + n.dir,
		"-Dlogback.configurationFile=" + filepath.Join(n.dir, "logback.xml"),
		"-Dcassandra.superuser_setup_delay_ms=0",
		"-Dcassandra.skip_wait_for_gossip_to_settle=0",
		"-Dcassandra.ring_delay_ms=1000",
	}
	// build.sh has seen that there is one; a pattern that does not match is the only error.
	if agents, _ := filepath.Glob(filepath.Join(n.jars, "lib", "jamm-*.jar")); len(agents) > 0 {
		args = append(args, "-javaagent:"+agents[0])
	}
	for _, internals := range internals {
		args = append(args, "--add-exports="+internals+"=ALL-UNNAMED", "--add-opens="+internals+"=ALL-UNNAMED")
	}
	return append(args, "-cp", filepath.Join(n.jars, "lib", "*"), "org.apache.cassandra.service.CassandraDaemon")
}

// internals are the packages of the JDK that Cassandra 5.0 reaches into.
var internals = []string{
	"java.base/java.io", "java.base/java.lang", "java.base/java.lang.module", "java.base/java.lang.reflect", "java.base/java.math",
	"java.base/java.net", "java.base/java.nio", "java.base/java.nio.charset", "java.base/java.util", "java.base/java.util.concurrent",
	"java.base/java.util.concurrent.atomic", "java.base/jdk.internal.loader", "java.base/jdk.internal.math", "java.base/jdk.internal.module",
	"java.base/jdk.internal.ref", "java.base/jdk.internal.reflect", "java.base/jdk.internal.util", "java.base/jdk.internal.util.jar",
	"java.base/sun.nio.ch", "jdk.management/com.sun.management.internal", "java.management/java.lang.management",
	"java.management.rmi/javax.management.remote.rmi", "java.rmi/java.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
	"java.rmi/sun.rmi.transport.tcp", "java.sql/java.sql",
}

// freePorts finds two ports that are free on the address of every node. They
// lie below the range that the kernel hands to outgoing connections: a node
// that is started again must find its port still free.
func freePorts(nodes int) (ports, error) {
	var found []int
	for range 200 {
		port := 17000 + rand.IntN(15000) //nolint:gosec // a port is no secret
		if free(nodes, port) {
			if found = append(found, port); len(found) == 2 && found[0] != found[1] {
				return ports{native: found[0], storage: found[1]}, nil
			}
			found = found[:1]
		}
	}
	return ports{}, fmt.Errorf("find free ports: none of 200 tried between 17000 and 32000 is free on 127.0.0.1 to 127.0.0.%d", nodes)
}

func free(nodes, port int) bool {
	for i := range nodes {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(i+1)), Port: port})
		if err != nil {
			return false
		}
		if err := listener.Close(); err != nil {
			return false
		}
	}
	return true
}
