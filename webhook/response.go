// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// maxWarning is the length from which on the API server may cut a warning
// when several are sent.
const maxWarning = 256

const warningPrefix = "holdfast: "

func allow(warnings ...string) admission.Response {
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed:  true,
		Result:   &metav1.Status{Code: http.StatusOK},
		Warnings: warnings,
	}}
}

// deny is a refusal: 403, the reasons for people and for programs, and the
// text again as warnings, because Helm shows those and hides the message.
func deny(v guard.Verdict, target guard.Target) admission.Response {
	details := &metav1.StatusDetails{Group: target.Resource.Group, Kind: target.Resource.Resource, Name: target.Name}
	for _, c := range v.Causes {
		details.Causes = append(details.Causes, metav1.StatusCause{
			Type: causeType(v.Rule), Message: c.Object, Field: c.Field,
		})
	}
	return refuse(metav1.StatusReasonForbidden, http.StatusForbidden, v.Message, details)
}

// undecided refuses because something could not be found out or saved.
func undecided(message string) admission.Response {
	return refuse(metav1.StatusReasonInternalError, http.StatusInternalServerError, message,
		&metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse, Message: message}}})
}

func refuse(reason metav1.StatusReason, code int32, message string, details *metav1.StatusDetails) admission.Response {
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed: false,
		Result: &metav1.Status{
			Status: metav1.StatusFailure, Reason: reason, Code: code, Message: message, Details: details,
		},
		Warnings: asWarnings(message),
	}}
}

// causeType names the rule as programs see it: in-use -> HoldfastInUse.
func causeType(rule string) metav1.CauseType {
	name := "Holdfast"
	for _, word := range strings.Split(rule, "-") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return metav1.CauseType(name)
}

// asWarnings cuts text into warnings that the API server does not cut: one a
// sentence, and at the ends of words where a sentence is too long for one.
func asWarnings(text string) []string {
	const prefix = warningPrefix
	var warnings []string
	line := prefix
	words := strings.Fields(text)
	for i, word := range words {
		if len(line)+1+len(word) > maxWarning && line != prefix {
			warnings = append(warnings, line)
			line = prefix
		}
		if line != prefix {
			line += " "
		}
		line += word
		if last := i == len(words)-1; last || strings.HasSuffix(word, ".") && startsSentence(words[i+1]) {
			warnings = append(warnings, line)
			line = prefix
		}
	}
	return warnings
}

// Unwrap is the text of warnings as it was before it was cut.
func Unwrap(warnings []string) string {
	texts := make([]string, 0, len(warnings))
	for _, w := range warnings {
		texts = append(texts, strings.TrimPrefix(w, warningPrefix))
	}
	return strings.Join(texts, " ")
}

func startsSentence(word string) bool { return word[0] >= 'A' && word[0] <= 'Z' }

// savedWarning tells the user that what they delete can be brought back.
func savedWarning(r guard.Request, id string) string {
	target := r.Target()
	if r.New != nil {
		return fmt.Sprintf("holdfast: saved %s as it was with its finalizers; if it goes, bring it back with: holdfast recovery restore %s", target, id)
	}
	return fmt.Sprintf("holdfast: saved %s before its deletion; bring it back with: holdfast recovery restore %s", target, id)
}

// partlyWarnings tell the user what cannot be brought back.
func partlyWarnings(target guard.Target, why []string) []string {
	if len(why) == 0 {
		return nil
	}
	return asWarnings(fmt.Sprintf("%s could be brought back only partly: %s.", target, strings.Join(why, "; ")))
}
