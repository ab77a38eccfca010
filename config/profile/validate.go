// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"regexp"
	"strings"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Validate checks everything about p that can be known without a cluster.
func Validate(p *v1alpha1.GuardProfile) field.ErrorList {
	var errs field.ErrorList
	if p.APIVersion != v1alpha1.APIVersion {
		errs = append(errs, field.NotSupported(field.NewPath("apiVersion"), p.APIVersion, []string{v1alpha1.APIVersion}))
	}
	if p.Kind != v1alpha1.GuardProfileKind {
		errs = append(errs, field.NotSupported(field.NewPath("kind"), p.Kind, []string{v1alpha1.GuardProfileKind}))
	}
	for _, msg := range validation.IsDNS1123Subdomain(p.Name) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), p.Name, msg))
	}
	spec := field.NewPath("spec")
	errs = append(errs, checkMode(spec.Child("mode"), p.Spec.Mode)...)
	errs = append(errs, checkHolding(spec.Child("namespaces"), p.Spec.Namespaces)...)
	if len(p.Spec.Resources) == 0 {
		errs = append(errs, field.Required(spec.Child("resources"), "a profile guards at least one resource"))
	}
	seen := map[string]bool{}
	for i, r := range p.Spec.Resources {
		at := spec.Child("resources").Index(i)
		gr := schema.ParseGroupResource(r.Resource).String()
		if seen[gr] {
			errs = append(errs, field.Duplicate(at.Child("resource"), r.Resource))
		}
		seen[gr] = true
		errs = append(errs, checkResource(at, r)...)
	}
	for i, o := range p.Spec.Operators {
		errs = append(errs, checkOperator(spec.Child("operators").Index(i), o, seen)...)
	}
	return errs
}

func checkResource(at *field.Path, r v1alpha1.GuardedResource) field.ErrorList {
	errs := checkGroupResource(at.Child("resource"), r.Resource)
	errs = append(errs, checkMode(at.Child("mode"), r.Mode)...)
	errs = append(errs, checkHolding(at.Child("namespaces"), r.Namespaces)...)
	errs = append(errs, checkOneOf(at.Child("snapshot"), r.Snapshot,
		v1alpha1.SnapshotRequired, v1alpha1.SnapshotBestEffort, v1alpha1.SnapshotNone)...)
	for i, ref := range r.ReferencedBy {
		refAt := at.Child("referencedBy").Index(i)
		errs = append(errs, checkGroupResource(refAt.Child("resource"), ref.Resource)...)
		errs = append(errs, checkPath(refAt.Child("path"), ref.Path)...)
	}
	if s := r.StoredRevisions; s != nil {
		revAt := at.Child("storedRevisions")
		errs = append(errs, checkPath(revAt.Child("path"), s.Path)...)
		errs = append(errs, checkPath(revAt.Child("number"), s.Number)...)
		errs = append(errs, checkPath(revAt.Child("spec"), s.Spec)...)
		if s.Encoding == "" {
			errs = append(errs, field.Required(revAt.Child("encoding"), "json or base64json"))
		}
		errs = append(errs, checkOneOf(revAt.Child("encoding"), s.Encoding, v1alpha1.EncodingJSON, v1alpha1.EncodingBase64JSON)...)
	}
	for i, m := range r.Closure {
		errs = append(errs, checkMember(at.Child("closure").Index(i), m)...)
	}
	for i, c := range r.Recoverable {
		errs = append(errs, checkRecoverability(at.Child("recoverable").Index(i), c)...)
	}
	return errs
}

func checkMember(at *field.Path, m v1alpha1.Member) field.ErrorList {
	errs := checkGroupResource(at.Child("resource"), m.Resource)
	selectors := 0
	if m.OwnedBy {
		selectors++
	}
	if m.Path != "" {
		selectors++
		errs = append(errs, checkPath(at.Child("path"), m.Path)...)
	}
	if m.Referring != "" {
		selectors++
		errs = append(errs, checkPath(at.Child("referring"), m.Referring)...)
	}
	for name, text := range map[string]string{"namePrefix": m.NamePrefix, "name": m.Name} {
		if text == "" {
			continue
		}
		selectors++
		if _, err := parseTemplate(text); err != nil {
			errs = append(errs, field.Invalid(at.Child(name), text, err.Error()))
		}
	}
	if m.BeforeOwner && !m.OwnedBy {
		errs = append(errs, field.Invalid(at.Child("beforeOwner"), m.BeforeOwner, "only what is selected by ownedBy has an owner to come before"))
	}
	if m.ReleaseOf != "" {
		selectors++
		errs = append(errs, checkGroupResource(at.Child("releaseOf"), m.ReleaseOf)...)
		if schema.ParseGroupResource(m.Resource) != (schema.GroupResource{Resource: "secrets"}) {
			errs = append(errs, field.Invalid(at.Child("resource"), m.Resource, "a release is kept in secrets"))
		}
	}
	if selectors != 1 {
		errs = append(errs, field.Invalid(at, m.Resource, "exactly one of ownedBy, path, referring, namePrefix, name and releaseOf selects the members"))
	}
	return errs
}

func checkRecoverability(at *field.Path, c v1alpha1.Recoverability) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(c.Because) == "" {
		errs = append(errs, field.Required(at.Child("because"), "people are told this reason"))
	}
	env, err := recoverableEnv()
	if err != nil {
		return append(errs, field.InternalError(at.Child("unless"), err))
	}
	ast, issues := env.Compile(c.Unless)
	if issues.Err() != nil {
		return append(errs, field.Invalid(at.Child("unless"), c.Unless, issues.Err().Error()))
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		errs = append(errs, field.Invalid(at.Child("unless"), c.Unless, "must be a condition, true or false"))
	}
	return errs
}

// checkOperator checks an operator of a profile that guards these resources.
func checkOperator(at *field.Path, o v1alpha1.Operator, guarded map[string]bool) field.ErrorList {
	var errs field.ErrorList
	if o.Release != nil {
		for i, crd := range o.Release.OfCRDs {
			errs = append(errs, checkGroupResource(at.Child("release", "ofCRDs").Index(i), crd)...)
		}
		for i, obj := range o.Release.Objects {
			objAt := at.Child("release", "objects").Index(i)
			errs = append(errs, checkGroupResource(objAt.Child("resource"), obj.Resource)...)
			errs = append(errs, checkNotEmpty(objAt.Child("name"), obj.Name)...)
		}
	}
	for i, sa := range o.ServiceAccounts {
		saAt := at.Child("serviceAccounts").Index(i)
		errs = append(errs, checkNotEmpty(saAt.Child("namespace"), sa.Namespace)...)
		errs = append(errs, checkNotEmpty(saAt.Child("name"), sa.Name)...)
	}
	for i, r := range o.RequiredFor {
		bad := checkGroupResource(at.Child("requiredFor").Index(i), r)
		if len(bad) == 0 && !guarded[schema.ParseGroupResource(r).String()] {
			bad = append(bad, field.Invalid(at.Child("requiredFor").Index(i), r, "must be one of the profile's resources: nothing else is asked about when it is deleted"))
		}
		errs = append(errs, bad...)
	}
	for i, d := range o.DenyDeletes {
		denyAt := at.Child("denyDeletes").Index(i)
		errs = append(errs, checkGroupResource(denyAt.Child("resource"), d.Resource)...)
		errs = append(errs, checkPrefix(denyAt.Child("namePrefix"), d.NamePrefix)...)
	}
	return errs
}

func checkGroupResource(at *field.Path, text string) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(at, "RESOURCE.GROUP in the plural, such as servicetiers.cp.nuodb.com")}
	}
	gr := schema.ParseGroupResource(text)
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1035Label(gr.Resource) {
		errs = append(errs, field.Invalid(at, text, "resource: "+msg))
	}
	if gr.Group != "" {
		for _, msg := range validation.IsDNS1123Subdomain(gr.Group) {
			errs = append(errs, field.Invalid(at, text, "group: "+msg))
		}
	}
	return errs
}

func checkPath(at *field.Path, text string) field.ErrorList {
	if _, err := ParsePath(text); err != nil {
		return field.ErrorList{field.Invalid(at, text, err.Error())}
	}
	return nil
}

// nameText is what names of objects are made of.
var nameText = regexp.MustCompile(`^[A-Za-z0-9.:_-]*$`)

func checkPrefix(at *field.Path, text string) field.ErrorList {
	prefix, err := ParseTemplate(text)
	if err != nil {
		return field.ErrorList{field.Invalid(at, text, err.Error())}
	}
	for _, part := range prefix.Texts() {
		if !nameText.MatchString(part) {
			return field.ErrorList{field.Invalid(at, text, "no name of an object has such characters")}
		}
	}
	return nil
}

func checkMode(at *field.Path, m v1alpha1.Mode) field.ErrorList {
	return checkOneOf(at, m, v1alpha1.ModeEnforce, v1alpha1.ModeWarn, v1alpha1.ModeAudit)
}

func checkHolding(at *field.Path, n *v1alpha1.NamespaceGuard) field.ErrorList {
	if n == nil {
		return nil
	}
	return checkOneOf(at.Child("blockWhileHolding"), n.BlockWhileHolding,
		v1alpha1.HoldingInUse, v1alpha1.HoldingAny, v1alpha1.HoldingNever)
}

func checkNotEmpty(at *field.Path, text string) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return nil
}

// checkOneOf accepts the values given and the empty one, which means the default.
func checkOneOf[T ~string](at *field.Path, value T, allowed ...T) field.ErrorList {
	if value == "" {
		return nil
	}
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(at, value, allowed)}
}
