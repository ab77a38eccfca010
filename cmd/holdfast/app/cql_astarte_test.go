// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestDatabaseOf(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		version string // v1alpha2 when empty
		spec    string
		want    astarteDatabase
		wantErr string
	}{
		"v1alpha2, embedded": {
			spec: "{cassandra: {storage: {size: 1Gi}}}",
			want: astarteDatabase{hosts: []string{"astarte-cassandra.iot.svc"}, usernameKey: "username", passwordKey: "password"},
		},
		"v1alpha2, external": {
			spec: `{cassandra: {deploy: false, nodes: "db1:9042, db2:9043", connection: {secret: {name: login, usernameKey: u, passwordKey: p}, sslConfiguration: {enabled: true, customCASecret: {name: ca}, customSNI: db.example.com}}}}`,
			want: astarteDatabase{hosts: []string{"db1:9042", "db2:9043"}, secret: "login", usernameKey: "u", passwordKey: "p", tls: true, caSecret: "ca", serverName: "db.example.com"},
		},
		"v1alpha3, credentials inline": {
			spec: `{astarteInstanceID: prod, cassandra: {deploy: false, nodes: db1, connection: {username: app, password: secret, sslConfiguration: {enable: true}}}}`,
			want: astarteDatabase{hosts: []string{"db1"}, username: "app", password: "secret", usernameKey: "username", passwordKey: "password", tls: true, instanceID: "prod"},
		},
		"v2alpha1": {
			version: "v2alpha1",
			spec:    `{cassandra: {connection: {nodes: [{host: db1, port: 9042}, {host: db2}], credentialsSecret: {name: login, usernameKey: u, passwordKey: p}}}}`,
			want:    astarteDatabase{hosts: []string{"db1:9042", "db2"}, secret: "login", usernameKey: "u", passwordKey: "p"},
		},
		"no nodes":                            {spec: "{cassandra: {deploy: false}}", wantErr: `read Astarte "astarte": spec.cassandra names no nodes; name the database with --hosts`},
		"v2alpha1 embeds none":                {version: "v2alpha1", spec: "{cassandra: {}}", wantErr: `read Astarte "astarte": spec.cassandra names no nodes; name the database with --hosts`},
		"the nodes of one version in another": {spec: "{cassandra: {nodes: [{host: db1}]}}", wantErr: `read Astarte "astarte": spec.cassandra.nodes is no text; name the database with --hosts`},
		"the nodes of the other in one":       {version: "v2alpha1", spec: "{cassandra: {connection: {nodes: db1}}}", wantErr: `read Astarte "astarte": spec.cassandra.connection.nodes is no list of hosts and ports; name the database with --hosts`},
		"a node without a host":               {version: "v2alpha1", spec: "{cassandra: {connection: {nodes: [{port: 9042}]}}}", wantErr: `read Astarte "astarte": spec.cassandra.connection.nodes is no list of hosts and ports; name the database with --hosts`},
		"a flag that is text":                 {spec: `{cassandra: {deploy: "no"}}`, wantErr: `read Astarte "astarte": spec.cassandra.deploy is neither true nor false; name the database with --hosts`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var object map[string]any
			if err := yaml.Unmarshal([]byte("{apiVersion: api.astarte-platform.org/"+cmp.Or(tc.version, "v1alpha2")+", metadata: {name: astarte, namespace: iot}, spec: "+tc.spec+"}"), &object); err != nil {
				t.Fatal(err)
			}
			got, err := databaseOf(&unstructured.Unstructured{Object: object})
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("err = %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tc.want, got, gocmp.AllowUnexported(astarteDatabase{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
