// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// stripped is what the removal of all finalizers would be answered.
type stripped struct {
	Rules  answer `json:"rules"`
	DryRun answer `json:"dryRun"`
	Agree  bool   `json:"agree"`
}

// finalizers asks the rules and the API server about what is left to do to an
// object that is Terminating; nil when there is nothing.
func (q *question) finalizers(ctx context.Context) (*stripped, error) {
	obj, t := q.object, q.target
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) == 0 {
		return nil, nil
	}
	without := obj.DeepCopy()
	without.SetFinalizers(nil)
	raw, err := without.MarshalJSON()
	if err != nil {
		return nil, err
	}
	s := &stripped{}
	if s.Rules, err = q.askRules(ctx, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.Object = admissionv1.Update, runtime.RawExtension{Raw: raw}
	}); err != nil {
		return nil, err
	}
	// Of an object that has taken its name the UID would be changed, which no
	// API server lets happen.
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"finalizers":null}}`, obj.GetUID())
	_, err = q.cluster.dynamic.Resource(t.mapping.Resource).Namespace(t.namespace).Patch(ctx, t.name, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	s.DryRun = answerOf(err)
	s.Agree = s.DryRun.Verdict == s.Rules.Verdict
	return s, nil
}

func (s *stripped) write(b *strings.Builder) {
	what := map[string]string{
		verdictAllowed: "ALLOWED, and it would be gone", verdictDenied: "REFUSED", verdictUndecided: "REFUSED, because Holdfast could not decide",
	}
	fmt.Fprintf(b, "\nThe removal of its finalizers would be %s.\n", what[s.Rules.Verdict])
	if s.Rules.Message != "" {
		fmt.Fprintln(b, "  "+s.Rules.Message)
	}
	if s.Agree {
		fmt.Fprintln(b, "The API server gives a dry-run of it the same answer.")
		return
	}
	writeDifference(b, s.Rules, s.DryRun)
}
