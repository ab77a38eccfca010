// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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
	f := &astarteFields{object: astarte.Object}
	d := astarteDatabase{usernameKey: "username", passwordKey: "password", hosts: f.nodes()}
	deploy, said := f.flag("spec", "cassandra", "deploy")
	if len(d.hosts) == 0 && strings.Contains(astarte.GetAPIVersion(), "/v1") && (deploy || !said) {
		d.hosts = []string{fmt.Sprintf("%s-cassandra.%s.svc", astarte.GetName(), astarte.GetNamespace())}
	}
	connection := []string{"spec", "cassandra", "connection"}
	d.username, d.password = f.text(append(connection, "username")...), f.text(append(connection, "password")...)
	for _, field := range []string{"secret", "credentialsSecret"} {
		if name := f.text(append(connection, field, "name")...); name != "" {
			d.secret = name
			d.usernameKey = orElse(f.text(append(connection, field, "usernameKey")...), d.usernameKey)
			d.passwordKey = orElse(f.text(append(connection, field, "passwordKey")...), d.passwordKey)
		}
	}
	for _, field := range []string{"enabled", "enable"} {
		enabled, _ := f.flag(append(connection, "sslConfiguration", field)...)
		d.tls = d.tls || enabled
	}
	d.caSecret = f.text(append(connection, "sslConfiguration", "customCASecret", "name")...)
	d.serverName = f.text(append(connection, "sslConfiguration", "customSNI")...)
	d.instanceID = f.text("spec", "astarteInstanceID")
	if f.err == nil && len(d.hosts) == 0 {
		f.err = errors.New("spec.cassandra names no nodes")
	}
	if f.err != nil {
		return d, fmt.Errorf("read Astarte %q: %w; name the database with --hosts", astarte.GetName(), f.err)
	}
	return d, nil
}

// astarteFields reads fields of an Astarte, and keeps the first error.
type astarteFields struct {
	object map[string]any
	err    error
}

func (f *astarteFields) note(err error, path []string, wrong string) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s is %s", strings.Join(path, "."), wrong)
	}
}

func (f *astarteFields) text(path ...string) string {
	s, _, err := unstructured.NestedString(f.object, path...)
	f.note(err, path, "no text")
	return s
}

func (f *astarteFields) flag(path ...string) (value, said bool) {
	value, said, err := unstructured.NestedBool(f.object, path...)
	f.note(err, path, "neither true nor false")
	return value, said
}

// nodes are those of either form.
func (f *astarteFields) nodes() []string {
	var hosts []string
	for _, node := range strings.Split(f.text("spec", "cassandra", "nodes"), ",") {
		if node = strings.TrimSpace(node); node != "" {
			hosts = append(hosts, node)
		}
	}
	path := []string{"spec", "cassandra", "connection", "nodes"}
	nodes, _, err := unstructured.NestedSlice(f.object, path...)
	f.note(err, path, "no list of hosts and ports")
	for _, node := range nodes {
		m, _ := node.(map[string]any)
		if host, _ := m["host"].(string); host == "" {
			f.note(errors.New("no host"), path, "no list of hosts and ports")
			continue
		}
		hosts = append(hosts, hostPort(m))
	}
	return hosts
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
	if meta.IsNoMatchError(err) {
		return astarteConnection{}, usagef("there is no Astarte %q: this cluster does not know the kind; check --context, or name the database with --hosts", f.astarte)
	}
	if err != nil {
		return astarteConnection{}, fmt.Errorf("look up the kind Astarte: %w", c.explain(err))
	}
	astarte, err := c.dynamic.Resource(resource).Namespace(c.namespace).Get(ctx, f.astarte, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return astarteConnection{}, usagef("there is no Astarte %q in namespace %q; name its namespace with -n", f.astarte, c.namespace)
	}
	if err != nil {
		return astarteConnection{}, fmt.Errorf("read Astarte %q: %w", f.astarte, c.explain(err))
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
		return nil, fmt.Errorf("read Secret %q that the Astarte names: %w; or give --hosts, --username and --password-file yourself", name, c.explain(err))
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
