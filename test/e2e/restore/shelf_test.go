// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// shelf is a set of six for which no operator cares: an object of a kind of its
// own with two Secrets that have to be there before it, a ConfigMap that it
// owns, one that it names, and its definition.
type shelf struct {
	group, namespace, profile, set string
	shelves                        schema.GroupVersionResource
	uid                            types.UID
}

const shelfProfile = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: shelves}
spec:
  resources:
  - resource: shelves.GROUP
    restore: {order: 20}
    closure:
    - {resource: secrets, ownedBy: true, beforeOwner: true}
    - {resource: configmaps, ownedBy: true}
    - {resource: configmaps, path: '{.spec.settings}'}
    - {resource: customresourcedefinitions.apiextensions.k8s.io, name: shelves.GROUP}
`

// fill makes a shelf and saves it.
func fill(ctx context.Context) *shelf {
	GinkgoHelper()
	s := &shelf{namespace: must.Namespace(ctx, admin, "place")}
	s.group = s.namespace + ".example"
	s.shelves = schema.GroupVersionResource{Group: s.group, Version: "v1", Resource: "shelves"}
	s.profile = filepath.Join(cluster.Dir, s.namespace+".yaml")
	Expect(os.WriteFile(s.profile, []byte(strings.ReplaceAll(shelfProfile, "GROUP", s.group)), 0o600)).To(Succeed())
	s.define(ctx)
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: %s/v1, kind: Shelf, metadata: {name: one, namespace: %s}, spec: {settings: settings, copies: [{name: settings, namespace: %[2]s}, {name: settings, namespace: elsewhere}]}}", s.group, s.namespace))
	s.uid = must.Object(ctx, client, s.shelves, s.namespace, "one").GetUID()
	owner := fmt.Sprintf("ownerReferences: [{apiVersion: %s/v1, kind: Shelf, name: one, uid: %s}]", s.group, s.uid)
	s.parts(ctx, owner)
	s.set = saveSet(ctx, s.shelves.GroupResource().String(), "one", "-n", s.namespace, "--profile-file", s.profile)
	return s
}

// parts makes all but the owner and its kind.
func (s *shelf) parts(ctx context.Context, owner string) {
	GinkgoHelper()
	for _, name := range []string{"key-a", "key-b"} {
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s, %s}, stringData: {key: secret-of-%[1]s}}", name, s.namespace, owner))
	}
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, namespace: %s, %s}, data: {level: one}}", s.namespace, owner))
	must.Apply(ctx, admin, levels(s.namespace, "settings", "level: one"))
}

// define makes the kind known.
func (s *shelf) define(ctx context.Context) {
	GinkgoHelper()
	must.Apply(ctx, admin, crd(s.group, "shelves", "Shelf", "", "v1"))
	Eventually(func() error {
		_, err := client.Resource(s.shelves).Namespace(s.namespace).List(ctx, metav1.ListOptions{})
		return err
	}).Should(Succeed())
}

// undefine takes the kind away, with its object.
func (s *shelf) undefine(ctx context.Context) {
	GinkgoHelper()
	name := "shelves." + s.group
	must.Succeed(admin.Kubectl(ctx, "delete", "crd", name, "--ignore-not-found"))
	Eventually(must.Object).WithArguments(ctx, client, definitions(), "", name).Should(BeNil())
}

// burn takes all of it away.
func (s *shelf) burn(ctx context.Context) {
	GinkgoHelper()
	s.undefine(ctx)
	s.empty(ctx)
}

// empty takes all but the definition away.
func (s *shelf) empty(ctx context.Context) {
	GinkgoHelper()
	for _, what := range [][]string{{"secret", "key-a", "key-b"}, {"configmap", "owned", "settings"}} {
		must.Succeed(admin.Kubectl(ctx, append([]string{"delete", "-n", s.namespace, "--ignore-not-found"}, what...)...))
	}
}

// orphan takes the kind away with its object, and lets what belonged to it stay
// as the garbage collector leaves it that has lost sight of the kind.
func (s *shelf) orphan(ctx context.Context) {
	GinkgoHelper()
	s.burn(ctx)
	Expect(cluster.RestartControllerManager()).To(Succeed())
	owner := fmt.Sprintf("ownerReferences: [{apiVersion: %s/v1, kind: Shelf, name: one, uid: %s}]", s.group, s.uid)
	s.parts(ctx, owner)
}

// spoil puts other objects in the place of all but the definition.
func (s *shelf) spoil(ctx context.Context) {
	GinkgoHelper()
	s.empty(ctx)
	must.Succeed(admin.Kubectl(ctx, "delete", "shelves."+s.group, "one", "-n", s.namespace))
	for _, text := range []string{
		fmt.Sprintf("{apiVersion: %s/v1, kind: Shelf, metadata: {name: one, namespace: %s}, spec: {settings: others}}", s.group, s.namespace),
		"{apiVersion: v1, kind: Secret, metadata: {name: key-a, namespace: " + s.namespace + "}, stringData: {key: new}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: key-b, namespace: " + s.namespace + "}, stringData: {key: new}}",
		levels(s.namespace, "owned", "level: two"), levels(s.namespace, "settings", "level: two"),
	} {
		must.Succeed(admin.RunInput(ctx, text, "kubectl", "create", "-f", "-"))
	}
}

// args is the command that brings it back.
func (s *shelf) args(more ...string) []string {
	return append([]string{"recovery", "restore", "--set", s.set, "--profile-file", s.profile}, more...)
}

func (s *shelf) restore(ctx context.Context, more ...string) harness.Result {
	return admin.Holdfast(ctx, s.args(append(more, "--yes")...)...)
}

// uids are the objects of the set that are there, in namespace.
func (s *shelf) uids(ctx context.Context, namespace string) map[string]types.UID {
	GinkgoHelper()
	found := map[string]types.UID{}
	for name, gvr := range map[string]schema.GroupVersionResource{
		"key-a": core("secrets"), "key-b": core("secrets"), "owned": core("configmaps"), "settings": core("configmaps"), "one": s.shelves,
	} {
		if o := must.Object(ctx, client, gvr, namespace, name); o != nil {
			found[name] = o.GetUID()
		}
	}
	return found
}

// expectBack makes sure that all of it is there as it was saved, in namespace.
func (s *shelf) expectBack(ctx context.Context, namespace string) {
	GinkgoHelper()
	Expect(s.uids(ctx, namespace)).To(HaveLen(5))
	for _, name := range []string{"key-a", "key-b"} {
		secret, err := kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(secret.Data["key"])).To(Equal("secret-of-" + name))
		Expect(secret.OwnerReferences).To(BeEmpty())
	}
	Expect(held(ctx, namespace, "settings")).To(Equal(map[string]any{"level": "one"}))
	owner := must.Object(ctx, client, core("configmaps"), namespace, "owned").GetOwnerReferences()
	Expect(owner).To(HaveLen(1))
	Expect(owner[0].UID).To(Equal(must.Object(ctx, client, s.shelves, namespace, "one").GetUID()))
}
