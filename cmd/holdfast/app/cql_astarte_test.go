// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestDatabaseOf(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spec    string
		want    astarteDatabase
		wantErr bool
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
			spec: `{cassandra: {connection: {nodes: [{host: db1, port: 9042}, {host: db2}], credentialsSecret: {name: login, usernameKey: u, passwordKey: p}}}}`,
			want: astarteDatabase{hosts: []string{"db1:9042", "db2"}, secret: "login", usernameKey: "u", passwordKey: "p"},
		},
		"no nodes": {spec: "{cassandra: {deploy: false}}", want: astarteDatabase{usernameKey: "username", passwordKey: "password"}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var object map[string]any
			if err := yaml.Unmarshal([]byte("{metadata: {name: astarte, namespace: iot}, spec: "+tc.spec+"}"), &object); err != nil {
				t.Fatal(err)
			}
			got, err := databaseOf(&unstructured.Unstructured{Object: object})
			if (err != nil) != tc.wantErr {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(astarteDatabase{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
