// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Critical findings are damage, or go on to do damage.
	Critical Severity = "critical"
	// Warning findings are damage that waits for an occasion.
	Warning Severity = "warning"
	// Notice findings are worth knowing before anything else is done.
	Notice Severity = "notice"
)

// Kind names a sort of finding, as programs tell them apart.
type Kind string

// The sorts of findings.
const (
	KindTerminating        Kind = "terminating"
	KindMissingReferenced  Kind = "missing-referenced"
	KindMissingSaved       Kind = "missing-saved"
	KindRevisionMissing    Kind = "revision-missing"
	KindCRDMissing         Kind = "crd-missing"
	KindCRDTerminating     Kind = "crd-terminating"
	KindCRDStuck           Kind = "crd-stuck"
	KindConversionBroken   Kind = "conversion-broken"
	KindUnreadable         Kind = "unreadable"
	KindStoredVersions     Kind = "stored-versions"
	KindWebhookGone        Kind = "webhook-gone"
	KindOwnerGone          Kind = "owner-gone"
	KindRegistration       Kind = "registration"
	KindSnapshotUnusable   Kind = "snapshot-unusable"
	KindRecoveryUnfinished Kind = "recovery-unfinished"
	KindManaged            Kind = "managed"
	KindBypassed           Kind = "bypassed"
	KindRelease            Kind = "release-unsettled"
	KindOperatorGone       Kind = "operator-gone"
	KindSecretReplaced     Kind = "secret-replaced"
)

// Finding is one thing that is wrong or at risk.
type Finding struct {
	Severity Severity `json:"severity"`
	Kind     Kind     `json:"kind"`
	// Resource is RESOURCE.GROUP of the object that the finding is about.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Detail is one sentence for people.
	Detail string `json:"detail"`
	// Mend is the command that mends it, or what to do where no command does.
	Mend string `json:"mend,omitempty"`
}

// String names the object as messages do.
func (f *Finding) String() string { return f.Resource + " " + joinName(f.Namespace, f.Name) }

// Report is what a scan found.
type Report struct {
	// Findings are sorted, worst first.
	Findings []Finding `json:"findings"`
	// Unknown says what could not be read, and so was not judged.
	Unknown []string `json:"unknown,omitempty"`
	// Objects counts the guarded objects that were looked at.
	Objects int `json:"objects"`
}

func (r *Report) sort() {
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(haste(a.Kind), haste(b.Kind)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.String(), b.String()), cmp.Compare(a.Detail, b.Detail))
	})
	slices.Sort(r.Unknown)
}

func rank(s Severity) int { return slices.Index([]Severity{Critical, Warning, Notice}, s) }

// haste puts first what can still be saved, and is lost by the next mistake.
func haste(k Kind) int {
	urgent := []Kind{KindRecoveryUnfinished, KindTerminating, KindOwnerGone, KindCRDTerminating, KindCRDStuck, KindRelease, KindOperatorGone}
	if i := slices.Index(urgent, k); i >= 0 {
		return i
	}
	return len(urgent)
}

func joinName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// command is a command line about one object.
func command(verb, resource, namespace, name string) string {
	text := fmt.Sprintf("%s %s %s", verb, resource, name)
	if namespace != "" {
		text += " -n " + namespace
	}
	return text
}
