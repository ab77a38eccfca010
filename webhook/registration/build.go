// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package registration tells the API server what to ask Holdfast about: it
// builds the webhook configuration from the profiles, applies it, and repairs
// it when somebody changes or deletes it.
package registration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/profile"
)

const (
	// Name of the ValidatingWebhookConfiguration.
	Name = "holdfast"
	// PathPrefix of the webhook's URL path; the digest of the profiles that
	// the configuration was built from follows it, so that a replica can tell
	// a request that was registered by one with other profiles.
	PathPrefix = "/guard/"
	// DanglingPrefix is the same for the warnings about dangling references.
	DanglingPrefix = "/dangling/"

	// timeoutSeconds bounds how long a delete waits for Holdfast.
	timeoutSeconds = 5
	// danglingSeconds bounds how long the creation or change of a referrer
	// waits for a warning while Holdfast is away.
	danglingSeconds = 1
)

// Options are what a configuration depends on besides the profiles.
type Options struct {
	// Namespace is Holdfast's own. Nothing in it is guarded, so that Holdfast
	// can always be repaired.
	Namespace string
	// ServiceName is the Service in Namespace that leads to Holdfast.
	ServiceName string
	// URL leads to a Holdfast outside the cluster and is used instead of the
	// Service when it is not empty.
	URL string
	// CABundle is the PEM of the authority of the serving certificate.
	CABundle []byte
	// Holding are the namespaces that hold guarded objects.
	Holding []string
	// Operators are those of each profile, by its name, as far as they are known.
	Operators map[string]Accounts
	// Owner lets the configuration go with the installation; it may be nil.
	Owner *metav1.OwnerReference
}

// Build is the configuration for the profiles of set. It is a pure function:
// the same input gives the same bytes.
func Build(set *profile.Set, o Options) *admissionv1.ValidatingWebhookConfiguration {
	config := &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: map[string]string{"app.kubernetes.io/managed-by": "holdfast"}},
	}
	if o.Owner != nil {
		config.OwnerReferences = []metav1.OwnerReference{*o.Owner}
	}
	rules := rulesFor(guardedResources(set), admissionv1.Delete)
	if len(rules) == 0 {
		return config
	}
	// Objects that go by somebody's wish. While Holdfast is away none of them
	// can be deleted: what cannot be judged and saved stays. Nothing else in
	// the cluster is held up.
	config.Webhooks = append(config.Webhooks, deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name:          "guard.holdfast.dev",
		Rules:         rules,
		FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "first-delete", Expression: firstDelete},
			{Name: "not-clean-up", Expression: "!" + byCleanUp},
		},
	}))
	// What has been decided before: it is saved if that is still news, and
	// goes on without Holdfast too, so that no clean-up ever hangs on it.
	config.Webhooks = append(config.Webhooks, deletionEntry(set, o, admissionv1.ValidatingWebhook{
		Name:          "follow.holdfast.dev",
		Rules:         rules,
		FailurePolicy: ptr.To(admissionv1.Ignore),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "decided-before", Expression: "!(" + firstDelete + ") || " + byCleanUp},
		},
	}))
	if referring := set.Referring(); len(referring) > 0 {
		config.Webhooks = append(config.Webhooks, danglingEntry(set, o, referring))
	}
	config.Webhooks = append(config.Webhooks, definitionEntries(set, o)...)
	config.Webhooks = append(config.Webhooks, namespaceEntries(set, o)...)
	config.Webhooks = append(config.Webhooks, finalizerEntries(set, o)...)
	config.Webhooks = append(config.Webhooks, deniedDeleteEntries(set, o)...)
	config.Webhooks = append(config.Webhooks, ownEntry(set, o))
	return config
}

const (
	// firstDelete is false for an object that is Terminating already. A
	// missing oldObject counts as a first delete: Holdfast then refuses.
	firstDelete = "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"
	// byCleanUp is true for the namespace controller, under its own identity
	// or, with --use-service-account-credentials=false, the controller manager's.
	byCleanUp = "(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])"
	// byRecovery is true for what 'holdfast recovery' writes. It has told of
	// references that lead to nothing in its plan, and while an undo creates an
	// object again, nobody finds that: not a moment is to be lost.
	byRecovery = "(has(request.options) && has(request.options.fieldManager) && request.options.fieldManager == 'holdfast')"
)

// deletionEntry is an entry for deletions, which are answered by the same handler.
func deletionEntry(set *profile.Set, o Options, w admissionv1.ValidatingWebhook) admissionv1.ValidatingWebhook {
	w.ClientConfig = clientConfig(o, PathPrefix+set.Digest())
	// Snapshots are written inside admission, but never for a dry-run.
	w.SideEffects = ptr.To(admissionv1.SideEffectClassNoneOnDryRun)
	w.TimeoutSeconds = ptr.To[int32](timeoutSeconds)
	return entry(o, w)
}

// danglingEntry lets Holdfast warn whoever refers to what is not there. It can
// neither refuse nor, while Holdfast is away, hold anything up for long.
func danglingEntry(set *profile.Set, o Options, referring []schema.GroupResource) admissionv1.ValidatingWebhook {
	w := admissionv1.ValidatingWebhook{
		Name:           "dangling.holdfast.dev",
		ClientConfig:   clientConfig(o, DanglingPrefix+set.Digest()),
		Rules:          rulesFor(referring, admissionv1.Create, admissionv1.Update),
		FailurePolicy:  ptr.To(admissionv1.Ignore),
		SideEffects:    ptr.To(admissionv1.SideEffectClassNone),
		TimeoutSeconds: ptr.To[int32](danglingSeconds),
		MatchConditions: []admissionv1.MatchCondition{
			// What is on its way needs nothing any more.
			{Name: "not-going", Expression: "!has(object.metadata.deletionTimestamp)"},
			{Name: "not-recovery", Expression: "!" + byRecovery},
		},
	}
	if referencesInSpec(set) {
		// Operators write status and annotations all the time.
		w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{
			Name:       "spec-changed",
			Expression: "oldObject == null || !has(object.spec) || !has(oldObject.spec) || object.spec != oldObject.spec",
		})
	}
	return entry(o, w)
}

// referencesInSpec tells whether every reference path begins in the spec.
func referencesInSpec(set *profile.Set) bool {
	for _, g := range set.Resources() {
		for _, ref := range g.ReferencedBy {
			if path := ref.Path.String(); !strings.HasPrefix(path, "{.spec.") && !strings.HasPrefix(path, "{.spec[") {
				return false
			}
		}
	}
	return true
}

// entry fills in what all entries have in common, every default spelled out:
// the live configuration is compared with it.
func entry(o Options, w admissionv1.ValidatingWebhook) admissionv1.ValidatingWebhook {
	w.MatchPolicy = ptr.To(admissionv1.Equivalent)
	w.AdmissionReviewVersions = []string{"v1"}
	w.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{o.Namespace},
	}}}
	w.ObjectSelector = &metav1.LabelSelector{}
	return w
}

func clientConfig(o Options, path string) admissionv1.WebhookClientConfig {
	if o.URL != "" {
		return admissionv1.WebhookClientConfig{URL: ptr.To(strings.TrimSuffix(o.URL, "/") + path), CABundle: o.CABundle}
	}
	return admissionv1.WebhookClientConfig{
		Service: &admissionv1.ServiceReference{
			Namespace: o.Namespace, Name: o.ServiceName, Path: &path, Port: ptr.To[int32](443),
		},
		CABundle: o.CABundle,
	}
}

func guardedResources(set *profile.Set) []schema.GroupResource {
	var resources []schema.GroupResource
	for _, g := range set.Resources() {
		resources = append(resources, g.Resource)
	}
	return resources
}

// rulesFor has one rule a group, for its resources in every version: with a
// certain version the API server would convert the object first, which fails
// when a conversion webhook is dead.
func rulesFor(resources []schema.GroupResource, operations ...admissionv1.OperationType) []admissionv1.RuleWithOperations {
	byGroup := map[string][]string{}
	for _, gr := range resources {
		byGroup[gr.Group] = append(byGroup[gr.Group], gr.Resource)
	}
	var rules []admissionv1.RuleWithOperations
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		rules = append(rules, admissionv1.RuleWithOperations{
			Operations: operations,
			Rule: admissionv1.Rule{
				APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: byGroup[group],
				Scope: ptr.To(admissionv1.AllScopes),
			},
		})
	}
	return rules
}

// check tells whether the options lead the API server to a webhook.
func (o Options) check() error {
	if o.URL == "" && o.ServiceName == "" {
		return fmt.Errorf("neither a URL nor a Service leads to the webhook")
	}
	return nil
}
