// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// astarteDatabase is what an Astarte resource says about its database. Secrets
// are named only; they are read later.
type astarteDatabase struct {
	hosts       []string
	username    string
	password    string
	secret      string
	usernameKey string
	passwordKey string
	tls         bool
	caSecret    string
	serverName  string
	instanceID  string
}

// databaseOf reads spec.cassandra of an Astarte, as any version of its API has
// it: in v1alpha1 to v1alpha3 the nodes are one string and embedded is possible,
// in v2alpha1 they are a list below connection.
func databaseOf(astarte *unstructured.Unstructured) (astarteDatabase, error) {
	d := astarteDatabase{usernameKey: "username", passwordKey: "password"}
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(astarte.Object, append([]string{"spec"}, path...)...)
		return s
	}
	flag := func(path ...string) bool {
		b, _, _ := unstructured.NestedBool(astarte.Object, append([]string{"spec", "cassandra"}, path...)...)
		return b
	}
	for _, node := range strings.Split(text("cassandra", "nodes"), ",") {
		if node = strings.TrimSpace(node); node != "" {
			d.hosts = append(d.hosts, node)
		}
	}
	nodes, _, _ := unstructured.NestedSlice(astarte.Object, "spec", "cassandra", "connection", "nodes")
	for _, node := range nodes {
		if m, ok := node.(map[string]any); ok {
			d.hosts = append(d.hosts, hostPort(m))
		}
	}
	deploy, said, _ := unstructured.NestedBool(astarte.Object, "spec", "cassandra", "deploy")
	if len(d.hosts) == 0 && (deploy || !said) {
		d.hosts = []string{fmt.Sprintf("%s-cassandra.%s.svc", astarte.GetName(), astarte.GetNamespace())}
	}
	if len(d.hosts) == 0 {
		return d, fmt.Errorf("read Astarte %s: spec.cassandra names no nodes; name them with --hosts", astarte.GetName())
	}
	d.username, d.password = text("cassandra", "connection", "username"), text("cassandra", "connection", "password")
	for _, field := range []string{"secret", "credentialsSecret"} {
		if name := text("cassandra", "connection", field, "name"); name != "" {
			d.secret = name
			d.usernameKey = orElse(text("cassandra", "connection", field, "usernameKey"), d.usernameKey)
			d.passwordKey = orElse(text("cassandra", "connection", field, "passwordKey"), d.passwordKey)
		}
	}
	d.tls = flag("connection", "sslConfiguration", "enabled") || flag("connection", "sslConfiguration", "enable")
	d.caSecret = text("cassandra", "connection", "sslConfiguration", "customCASecret", "name")
	d.serverName = text("cassandra", "connection", "sslConfiguration", "customSNI")
	d.instanceID = text("astarteInstanceID")
	return d, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func hostPort(node map[string]any) string {
	host, _ := node["host"].(string)
	switch port := node["port"].(type) {
	case int64:
		return net.JoinHostPort(host, strconv.FormatInt(port, 10))
	case float64:
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	default:
		return host
	}
}

// astarteConnection is how to reach the database of an Astarte.
type astarteConnection struct {
	config     cql.Config
	instanceID string
	secrets    astarteSecrets
}

// astarteSecrets names the Secrets that the connection came from.
type astarteSecrets struct {
	password, passwordKey string
	ca                    string
}

// readAstarte reads the Astarte and the Secrets that it names.
func (f *cqlFlags) readAstarte(ctx context.Context, warnings io.Writer) (astarteConnection, error) {
	c, err := f.kube.connect(warnings)
	if err != nil {
		return astarteConnection{}, err
	}
	ctx = quietly(ctx)
	resource, err := c.mapper.ResourceForWithContext(ctx, schema.GroupVersionResource{Group: "api.astarte-platform.org", Resource: "astartes"})
	if err != nil {
		return astarteConnection{}, fmt.Errorf("look up the kind Astarte: %w; name the database with --hosts", err)
	}
	astarte, err := c.dynamic.Resource(resource).Namespace(c.namespace).Get(ctx, f.astarte, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return astarteConnection{}, usagef("there is no Astarte %q in namespace %q; name its namespace with -n", f.astarte, c.namespace)
	}
	if err != nil {
		return astarteConnection{}, fmt.Errorf("read Astarte %q: %w", f.astarte, err)
	}
	d, err := databaseOf(astarte)
	if err != nil {
		return astarteConnection{}, err
	}
	found := astarteConnection{config: cql.Config{Hosts: d.hosts, Username: d.username, Password: d.password}, instanceID: d.instanceID}
	if d.secret != "" {
		found.secrets.password, found.secrets.passwordKey = d.secret, d.passwordKey
		data, err := c.secretKeys(ctx, d.secret, d.usernameKey, d.passwordKey)
		if err != nil {
			return astarteConnection{}, err
		}
		found.config.Username, found.config.Password = string(data[0]), string(data[1])
	}
	if d.tls {
		found.config.TLS = &cql.TLS{ServerName: d.serverName}
		if d.caSecret != "" {
			data, err := c.secretKeys(ctx, d.caSecret, "ca.crt")
			if err != nil {
				return astarteConnection{}, err
			}
			found.config.TLS.CA, found.secrets.ca = data[0], d.caSecret
		}
	}
	return found, nil
}

// secretKeys are the values of keys of a Secret in the command's namespace.
func (c *cluster) secretKeys(ctx context.Context, name string, keys ...string) ([][]byte, error) {
	secret, err := c.kube.CoreV1().Secrets(c.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret %q that the Astarte names: %w", name, err)
	}
	var values [][]byte
	for _, key := range keys {
		value, ok := secret.Data[key]
		if !ok {
			return nil, fmt.Errorf("read Secret %q that the Astarte names: it has no key %q", name, key)
		}
		values = append(values, value)
	}
	return values, nil
}
