// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Shape is what one version of the operator makes.
type Shape struct {
	// Name is the version as the files of test/e2e/testdata/astarte name it,
	// Version what it calls itself.
	Name, Version string
	// API is the version in which its Astartes are written, Ingress that of
	// ingress kinds.
	API, Ingress string
	// FlowGroup is the group of Flow.
	FlowGroup string
	// Voyager says that there are AstarteVoyagerIngresses.
	Voyager bool
	// Secrets and ConfigMaps are the ends of the names of what an Astarte owns,
	// Claims the kinds of claims that are made for it and nobody owns.
	Secrets, ConfigMaps, Claims []string
	// Deployments, StatefulSets and Services are the ends of the names of what
	// runs of an Astarte.
	Deployments, StatefulSets, Services []string
	// PriorityClasses are those that it makes for the whole cluster.
	PriorityClasses []string
	// Spec is of a typical Astarte, in JSON. It names Secrets of the user's:
	// UserSecrets, which must be there.
	Spec        string
	UserSecrets []string
}

// Astartes is the resource of Astartes as this operator reads them.
func (s Shape) Astartes() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "api.astarte-platform.org", Version: s.API, Resource: "astartes"}
}

// Ingresses is that of AstarteDefaultIngresses.
func (s Shape) Ingresses() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "ingress.astarte-platform.org", Version: s.Ingress, Resource: "astartedefaultingresses"}
}

// Flows is that of Flows.
func (s Shape) Flows() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: s.FlowGroup, Version: s.API, Resource: "flows"}
}

// Erased are the beginnings, after the name of an Astarte, of the names of the
// claims that its finalizer deletes.
func Erased() []string {
	return []string{"-vernemq-data", "-rabbitmq-data", "-cfssl-data", "-cassandra-data"}
}

// everywhere are the Secrets that all operators make.
func everywhere() []string {
	return []string{
		"-devices-ca", "-cfssl-ca", "-housekeeping-private-key", "-housekeeping-public-key",
		"-housekeeping-cookie", "-realm-management-cookie", "-appengine-cookie", "-pairing-cookie",
		"-data-updater-plant-cookie", "-trigger-engine-cookie", "-vernemq-cookie",
	}
}

// Shapes are the versions of the operator, by what they make.
func Shapes() []Shape {
	embedded := slices.Concat(everywhere(), []string{"-rabbitmq-cookie", "-rabbitmq-user-credentials", "-cassandra-user-credentials"})
	maps := []string{"-generic-erlang-configuration", "-cfssl-config", "-dashboard-config"}
	old := Shape{
		Ingress: "v1alpha1", FlowGroup: "api.astarte-platform.org", Voyager: true,
		Secrets: embedded, ConfigMaps: append(slices.Clone(maps), "-rabbitmq-config"), Claims: []string{"-vernemq-data", "-rabbitmq-data"},
		Spec:        `{"version": "1.0.4", "cassandra": {"deploy": false, "nodes": "c:9042"}, "vernemq": {"sslListener": true, "sslListenerCertSecretName": "broker-tls"}, "cfssl": {"caSecret": {"name": "my-ca"}}, "rabbitmq": {"connection": {"host": "r", "secret": {"name": "rabbit-login", "usernameKey": "u", "passwordKey": "p"}, "sslConfiguration": {"enabled": true, "customCASecret": {"name": "rabbit-ca"}}}}}`,
		UserSecrets: []string{"broker-tls", "my-ca", "rabbit-login", "rabbit-ca", "ingress-tls", "dashboard-tls"},
	}
	v104, v235, v245 := old, old, old
	v104.Name, v104.Version, v104.API = "v1.0.4", "1.0.4", "v1alpha1"
	v235.Name, v235.Version, v235.API = "v23.5.2", "23.5", "v1alpha2"
	v245.Name, v245.Version, v245.API, v245.Voyager = "v24.5.1", "24.5", "v1alpha3", false
	v245.Spec = `{"version": "1.1.1", "cassandra": {"deploy": false, "connection": {"nodes": [{"host": "c", "port": 9042}], "credentialsSecret": {"name": "cassandra-login", "usernameKey": "u", "passwordKey": "p"}}}, "vernemq": {"sslListener": true, "sslListenerCertSecretName": "broker-tls"}}`
	v245.UserSecrets = []string{"broker-tls", "cassandra-login", "ingress-tls", "dashboard-tls"}
	classes := []string{"astarte-high-priority-non-preemptive", "astarte-mid-priority-non-preemptive", "astarte-low-priority-non-preemptive"}
	v235.PriorityClasses, v245.PriorityClasses = classes, classes
	next := Shape{
		Name: "v2alpha1", Version: "26.5", API: "v2alpha1", Ingress: "v2alpha1", FlowGroup: "flow.astarte-platform.org",
		Secrets: everywhere(), ConfigMaps: maps, Claims: []string{"-vernemq-data"},
		Spec:        `{"version": "1.3.0", "cassandra": {"connection": {"nodes": [{"host": "c", "port": 9042}], "credentialsSecret": {"name": "cassandra-login", "usernameKey": "u", "passwordKey": "p"}, "sslConfiguration": {"enable": true, "customCASecret": {"name": "cassandra-ca"}}}}, "rabbitmq": {"connection": {"host": "r", "credentialsSecret": {"name": "rabbit-login", "usernameKey": "u", "passwordKey": "p"}, "sslConfiguration": {"customCASecret": {}}}}, "vernemq": {"sslListenerCertSecretName": "broker-tls"}}`,
		UserSecrets: []string{"broker-tls", "cassandra-login", "cassandra-ca", "rabbit-login", "ingress-tls", "dashboard-tls"},
	}
	next.PriorityClasses = classes
	shapes := []Shape{v104, v235, v245, next}
	for i := range shapes {
		shapes[i].Deployments = []string{
			"-housekeeping", "-housekeeping-api", "-realm-management", "-realm-management-api", "-pairing", "-pairing-api",
			"-appengine-api", "-trigger-engine", "-dashboard", "-cfssl",
		}
		shapes[i].StatefulSets = []string{"-vernemq"}
		if slices.Contains(shapes[i].Claims, "-rabbitmq-data") {
			shapes[i].StatefulSets = append(shapes[i].StatefulSets, "-rabbitmq")
		}
		shapes[i].Services = []string{"-housekeeping-api", "-realm-management-api", "-pairing-api", "-appengine-api", "-dashboard", "-cfssl", "-vernemq"}
	}
	return shapes
}
