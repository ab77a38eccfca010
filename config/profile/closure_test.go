// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// shelf is a Reader of objects in memory, by resource.
type shelf struct {
	objects map[Name]*unstructured.Unstructured
	faults  map[string]error // by RESOURCE.GROUP/NAMESPACE
}

func newShelf(t *testing.T, text string) *shelf {
	t.Helper()
	s := &shelf{objects: map[Name]*unstructured.Unstructured{}, faults: map[string]error{}}
	for _, doc := range strings.Split(text, "\n") {
		resource, object, found := strings.Cut(strings.TrimSpace(doc), " ")
		if !found {
			continue
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(object), &o.Object); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if o.GetUID() == "" {
			o.SetUID("uid-of-" + o.GetUID())
		}
		s.objects[Name{schema.ParseGroupResource(resource), o.GetNamespace(), o.GetName()}] = o
	}
	return s
}

func (s *shelf) fault(gr schema.GroupResource, namespace string) error {
	return s.faults[gr.String()+"/"+namespace]
}

func (s *shelf) Object(_ context.Context, at Name) (*unstructured.Unstructured, error) {
	if o := s.objects[at]; o != nil {
		return o, s.fault(at.Resource, at.Namespace)
	}
	return s.objects[Name{Resource: at.Resource, Name: at.Name}], s.fault(at.Resource, at.Namespace)
}

func (s *shelf) Look(ctx context.Context, at Name) (*metav1.PartialObjectMetadata, error) {
	o, err := s.Object(ctx, at)
	if err != nil || o == nil {
		return nil, err
	}
	m := &metav1.PartialObjectMetadata{}
	return m, runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"metadata": o.Object["metadata"]}, m)
}

func (s *shelf) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]metav1.PartialObjectMetadata, error) {
	var all []metav1.PartialObjectMetadata
	for at := range s.objects {
		if at.Resource == gr && at.Namespace == namespace {
			m, err := s.Look(ctx, at)
			if err != nil {
				return nil, err
			}
			all = append(all, *m)
		}
	}
	return all, s.fault(gr, namespace)
}

func (s *shelf) Referrers(_ context.Context, m Member, target Name) ([]Found, error) {
	var found []Found
	for at, o := range s.objects {
		if at.Resource != m.Resource {
			continue
		}
		hits, err := m.Hits(o)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			if h.Names(target.Namespace, target.Name) {
				found = append(found, Found{Name: at, UID: o.GetUID(), Revision: h.Revision, Object: o})
			}
		}
	}
	return found, s.fault(m.Resource, "")
}

const astarteWorld = `
astartes.api.astarte-platform.org {kind: Astarte, metadata: {namespace: a, name: one, uid: u1}, spec: {cfssl: {caSecret: {name: my-ca}}, vernemq: {sslListenerCertSecretName: tls}, rabbitmq: {connection: {host: r, secret: {name: rabbit, usernameKey: u, passwordKey: p}, sslConfiguration: {customCASecret: {}}}}, cassandra: {connection: {credentialsSecret: {name: cassandra}, sslConfiguration: {customCASecret: {name: cassandra-ca}}}}}}
secrets {metadata: {namespace: a, name: one-devices-ca, ownerReferences: [{uid: u1}]}}
secrets {metadata: {namespace: a, name: one-of-another, ownerReferences: [{uid: u2}]}}
secrets {metadata: {namespace: b, name: one-elsewhere, ownerReferences: [{uid: u1}]}}
secrets {metadata: {namespace: a, name: my-ca}}
secrets {metadata: {namespace: a, name: tls}}
secrets {metadata: {namespace: a, name: rabbit}}
secrets {metadata: {namespace: a, name: cassandra-ca}}
secrets {metadata: {namespace: a, name: ingress-tls}}
secrets {metadata: {namespace: a, name: dashboard-tls}}
secrets {metadata: {namespace: a, name: unrelated}}
configmaps {metadata: {namespace: a, name: one-config, ownerReferences: [{uid: u1}]}}
astartedefaultingresses.ingress.astarte-platform.org {metadata: {namespace: a, name: adi, uid: u3}, spec: {astarte: one, tlsSecret: ingress-tls, dashboard: {tlsSecret: dashboard-tls}}}
astartedefaultingresses.ingress.astarte-platform.org {metadata: {namespace: a, name: adi-of-another, uid: u4}, spec: {astarte: two, tlsSecret: unrelated}}
configmaps {metadata: {namespace: a, name: adi-api-ingress-config, ownerReferences: [{uid: u3}]}}
flows.api.astarte-platform.org {metadata: {namespace: a, name: flow, uid: u5}, spec: {astarte: {name: one}}}
secrets {metadata: {namespace: a, name: one-flow-flow-block-0, ownerReferences: [{uid: u5}]}}
persistentvolumeclaims {metadata: {namespace: a, name: one-rabbitmq-data-one-rabbitmq-0}}
persistentvolumeclaims {metadata: {namespace: a, name: two-rabbitmq-data-two-rabbitmq-0}}
customresourcedefinitions.apiextensions.k8s.io {metadata: {name: astartes.api.astarte-platform.org, annotations: {meta.helm.sh/release-name: op, meta.helm.sh/release-namespace: sys}}}
customresourcedefinitions.apiextensions.k8s.io {metadata: {name: others.example.com}}
secrets {metadata: {namespace: sys, name: sh.helm.release.v1.op.v1, labels: {owner: helm, name: op}}}
secrets {metadata: {namespace: sys, name: sh.helm.release.v1.op.v2, labels: {owner: helm, name: op}}}
secrets {metadata: {namespace: sys, name: sh.helm.release.v1.other.v1, labels: {owner: helm, name: other}}}
secrets {metadata: {namespace: sys, name: sh.helm.release.v1.op.v9}}
`

// closureOf is the closure of one object of the shelf, as lines.
func closureOf(t *testing.T, s *shelf, profile, resource, namespace, name string) (Closure, []string) {
	t.Helper()
	p, err := Builtin(profile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	guarded, _ := set.Guarded(schema.ParseGroupResource(resource))
	root := s.objects[Name{guarded.Resource, namespace, name}]
	closure, err := set.Closure(t.Context(), guarded, root, s)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range closure.Members {
		line := m.String()
		if m.NamesOnly {
			line += " (name)"
		}
		if m.Revision != "" {
			line += " at " + m.Revision
		}
		lines = append(lines, line)
	}
	return closure, lines
}

// What was brought back is owned by nobody, and belongs to the set all the same.
func TestClosureOfAnAstarteThatWasBroughtBack(t *testing.T) {
	t.Parallel()
	var world strings.Builder
	want := []string{}
	for _, name := range []string{
		"one-appengine-cookie", "one-cassandra-user-credentials", "one-data-updater-plant-cookie", "one-devices-ca", "one-flow-flow-block-0",
		"one-housekeeping-cookie", "one-housekeeping-private-key", "one-housekeeping-public-key", "one-pairing-cookie", "one-rabbitmq-cookie",
		"one-rabbitmq-user-credentials", "one-realm-management-cookie", "one-trigger-engine-cookie", "one-vernemq-cookie",
	} {
		fmt.Fprintf(&world, "secrets {metadata: {namespace: a, name: %s}}\n", name)
		want = append(want, "secrets a/"+name)
	}
	world.WriteString(`astartes.api.astarte-platform.org {kind: Astarte, metadata: {namespace: a, name: one, uid: u1}, spec: {}}
secrets {metadata: {namespace: a, name: one-unrelated}}
secrets {metadata: {namespace: b, name: one-devices-ca}}
secrets {metadata: {namespace: a, name: two-devices-ca}}
`)
	if _, got := closureOf(t, newShelf(t, world.String()), "astarte", "astartes.api.astarte-platform.org", "a", "one"); !slices.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestClosureOfAnAstarte(t *testing.T) {
	t.Parallel()
	closure, got := closureOf(t, newShelf(t, astarteWorld), "astarte", "astartes.api.astarte-platform.org", "a", "one")
	want := []string{
		"configmaps a/adi-api-ingress-config",
		"configmaps a/one-config",
		"persistentvolumeclaims a/one-rabbitmq-data-one-rabbitmq-0 (name)",
		"secrets a/cassandra-ca",
		"secrets a/dashboard-tls",
		"secrets a/ingress-tls",
		"secrets a/my-ca",
		"secrets a/one-devices-ca",
		"secrets a/one-flow-flow-block-0",
		"secrets a/rabbit",
		"secrets a/tls",
		"secrets sys/sh.helm.release.v1.op.v1",
		"secrets sys/sh.helm.release.v1.op.v2",
		"flows.api.astarte-platform.org a/flow",
		"customresourcedefinitions.apiextensions.k8s.io astartes.api.astarte-platform.org",
		"astartedefaultingresses.ingress.astarte-platform.org a/adi",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if closure.Incomplete {
		t.Error("incomplete")
	}
	if diff := cmp.Diff([]string{"of persistentvolumeclaims one-rabbitmq-data-one-rabbitmq-0, which go with it, only the names are saved"}, closure.Partly); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestClosureWithoutRights(t *testing.T) {
	t.Parallel()
	s := newShelf(t, astarteWorld)
	s.faults["secrets/sys"] = ErrForbidden
	s.faults["secrets/a"] = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
	closure, got := closureOf(t, s, "astarte", "astartes.api.astarte-platform.org", "a", "one")
	want := []string{
		"Secrets of namespace a may not be read", "Secrets of namespace sys may not be read",
		"of persistentvolumeclaims one-rabbitmq-data-one-rabbitmq-0, which go with it, only the names are saved",
	}
	if diff := cmp.Diff(want, closure.Partly); diff != "" || !closure.Incomplete {
		t.Errorf("incomplete: %v, reasons (-want +got):\n%s", closure.Incomplete, diff)
	}
	if len(got) != 6 {
		t.Errorf("the rest is not found: %v", got)
	}
}

func TestClosureOfATier(t *testing.T) {
	t.Parallel()
	s := newShelf(t, `
servicetiers.cp.nuodb.com {metadata: {namespace: cp, name: small, uid: u1}, spec: {features: [{name: f1}, {name: f2, namespace: other}, {name: gone}]}}
helmfeatures.cp.nuodb.com {metadata: {namespace: cp, name: f1}}
helmfeatures.cp.nuodb.com {metadata: {namespace: other, name: f2}}
helmfeatures.cp.nuodb.com {metadata: {namespace: other, name: f1}}
databases.cp.nuodb.com {metadata: {namespace: t, name: pinned}, spec: {type: {tierRef: {name: small, namespace: cp, revision: "3"}}}}
databases.cp.nuodb.com {metadata: {namespace: t, name: elsewhere}, spec: {type: {tierRef: {name: small}}}}
domains.cp.nuodb.com {metadata: {namespace: cp, name: d}, spec: {type: {tierRef: {name: small}}}}
`)
	closure, got := closureOf(t, s, "nuodb", "servicetiers.cp.nuodb.com", "cp", "small")
	want := []string{
		"databases.cp.nuodb.com t/pinned (name) at 3", "domains.cp.nuodb.com cp/d (name)",
		"helmfeatures.cp.nuodb.com cp/f1", "helmfeatures.cp.nuodb.com other/f2",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(closure.Partly) != 0 {
		t.Errorf("reasons %v, members (-want +got):\n%s", closure.Partly, diff)
	}
	if diff := cmp.Diff([]string{"helmfeatures.cp.nuodb.com cp/f1", "helmfeatures.cp.nuodb.com other/f2", "helmfeatures.cp.nuodb.com cp/gone"}, names(closure.Wanted)); diff != "" {
		t.Errorf("wanted (-want +got):\n%s", diff)
	}
}

func names(all []Name) (texts []string) {
	for _, n := range all {
		texts = append(texts, n.String())
	}
	return texts
}

// A fault must never look like "nothing belongs to it".
func TestClosureFaults(t *testing.T) {
	t.Parallel()
	for place, world := range map[string]string{
		"secrets/a":                       astarteWorld,
		"configmaps/a":                    astarteWorld,
		"flows.api.astarte-platform.org/": astarteWorld,
		"a path of odd shape":             strings.Replace(astarteWorld, "caSecret: {name: my-ca}", "caSecret: [my-ca]", 1),
	} {
		s := newShelf(t, world)
		s.faults[place] = errors.New("no answer")
		p, _ := Builtin("astarte")
		set, err := NewSet(p)
		if err != nil {
			t.Fatal(err)
		}
		guarded, _ := set.Guarded(schema.ParseGroupResource("astartes.api.astarte-platform.org"))
		if _, err := set.Closure(t.Context(), guarded, s.objects[Name{guarded.Resource, "a", "one"}], s); err == nil {
			t.Errorf("%s: no error", place)
		}
	}
}

func TestMembersAreChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{resource: secrets, name: 'x{.a', namesOnly: true}":             "closure[0].name",
		"{resource: configmaps, releaseOf: plans.billing.example}":       "a release is kept in secrets",
		"{resource: secrets, name: a, beforeOwner: true}":                "closure[0].beforeOwner",
		"{resource: secrets, releaseOf: 'Plans'}":                        "closure[0].releaseOf",
		"{resource: secrets, name: a, releaseOf: plans.billing.example}": "exactly one",
	} {
		_, err := Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: b}\nspec:\n  resources:\n  - {resource: plans.billing.example, closure: [" + text + "]}\n"))
		if want == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
