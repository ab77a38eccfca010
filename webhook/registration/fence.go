// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// FenceName is the name of the policy that fences releases, and of the
// ConfigMap with its parameters. The names of its bindings begin with it.
const FenceName = "holdfast-fence"

// The data of the ConfigMap: lines of "TARGET<tab>FENCE", lines of
// "FENCE<tab>OBJECT" with what may be deleted nevertheless, and under the ID of
// each fence the text that a refusal shows.
const (
	fencedKey = "fenced"
	openedKey = "opened"
)

// Fence is a release that is kept whole.
type Fence struct {
	// ID is a key of a ConfigMap: letters, digits, '-', '_' and '.'.
	ID string
	// Targets say what belongs to it: 'release/NAMESPACE/NAME' for what Helm has
	// put there, 'application/NAME' and 'instance/NAME' for what Argo CD tracks
	// by annotation or label, and 'RESOURCE.GROUP/NAMESPACE/NAME' for one object.
	Targets []string
	// Opened are objects of it that may go: 'KIND.GROUP/NAMESPACE/NAME'.
	Opened []string
	// Text is what a refusal says, on one line.
	Text string
}

// FenceParameters are the data of the ConfigMap. It is a pure function.
func FenceParameters(fences []Fence) map[string]string {
	var fenced, opened []string
	data := map[string]string{}
	for _, f := range fences {
		data[f.ID] = f.Text
		for _, target := range f.Targets {
			fenced = append(fenced, target+"\t"+f.ID)
		}
		for _, object := range f.Opened {
			opened = append(opened, f.ID+"\t"+object)
		}
	}
	for key, lines := range map[string][]string{fencedKey: fenced, openedKey: opened} {
		if len(lines) > 0 {
			slices.Sort(lines)
			data[key] = strings.Join(slices.Compact(lines), "\n") + "\n"
		}
	}
	return data
}

// EnsureFence writes the parameters, from which the API server knows what is
// fenced. It changes nothing when they are right.
func (k *Keeper) EnsureFence(ctx context.Context, fences []Fence) (changed bool, err error) {
	config := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: FenceName, Namespace: k.Options.Namespace, Labels: managed()},
		Data:       FenceParameters(fences),
	}
	if config.OwnerReferences, err = k.owners(ctx); err != nil {
		return false, err
	}
	return keep(ctx, k.Kube.CoreV1().ConfigMaps(config.Namespace), config, part[corev1.ConfigMap]{
		kind: "ConfigMap",
		same: func(live, want *corev1.ConfigMap) bool {
			return maps.Equal(live.Data, want.Data) && equality.Semantic.DeepEqual(live.OwnerReferences, want.OwnerReferences)
		},
		take: func(live, want *corev1.ConfigMap) { live.Data, live.OwnerReferences = want.Data, want.OwnerReferences },
	})
}

// FencePolicy refuses to remove anything of a fenced release. The API server
// applies it before any webhook, and to webhook configurations too, which never
// reach one. namespace is Holdfast's, where the parameters are; without
// parameters it refuses nothing.
func FencePolicy(namespace string) Policy {
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: FenceName, Labels: managed()},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			ParamKind: &admissionv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
			// All expressions are written so that they fail on no object; if one
			// does, the deletion is refused rather than let through.
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{},
				ObjectSelector:    &metav1.LabelSelector{},
				MatchPolicy:       ptr.To(admissionv1.Equivalent),
				ResourceRules: []admissionv1.NamedRuleWithOperations{
					fenceRule(admissionv1.Delete, "*", "*"),
					// Helm says in the release's Secret what it is about to do.
					fenceRule(admissionv1.Update, "", "secrets"),
				},
			},
			MatchConditions: fenceConditions(),
			Variables:       fenceVariables(),
			Validations: []admissionv1.Validation{{
				Expression:        "variables.fence == '' || variables.open",
				Message:           "it belongs to a release that holdfast has fenced",
				MessageExpression: "string(params.data[variables.fence])",
				Reason:            ptr.To(metav1.StatusReasonForbidden),
			}},
		},
	}
	return Policy{Policy: policy, Bindings: []*admissionv1.ValidatingAdmissionPolicyBinding{
		fenceBinding(namespace, "deny", admissionv1.Deny),
		// Helm hides why a deletion was refused, but shows warnings.
		fenceBinding(namespace, "warn", admissionv1.Warn, admissionv1.Audit),
	}}
}

func fenceRule(operation admissionv1.OperationType, group, resource string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{operation},
		Rule: admissionv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{resource}, Scope: ptr.To(admissionv1.AllScopes),
		},
	}}
}

func fenceBinding(namespace, suffix string, actions ...admissionv1.ValidationAction) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s", FenceName, suffix), Labels: managed()},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        FenceName,
			ParamRef:          &admissionv1.ParamRef{Name: FenceName, Namespace: namespace, ParameterNotFoundAction: ptr.To(admissionv1.AllowAction)},
			ValidationActions: actions,
		},
	}
}

func managed() map[string]string {
	return map[string]string{"app.kubernetes.io/managed-by": "holdfast"}
}
