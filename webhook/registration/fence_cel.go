// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import admissionv1 "k8s.io/api/admissionregistration/v1"

// fenceConditions keep away, in this order and at little cost, nearly all that
// is deleted in a cluster. As soon as one is false nothing else is looked at.
func fenceConditions() []admissionv1.MatchCondition {
	return []admissionv1.MatchCondition{
		// Who deletes a Terminating object again changes nothing. Of updates, only
		// that one counts by which Helm begins an uninstallation.
		{Name: "first-delete", Expression: "oldObject != null && has(oldObject.metadata) && (request.operation == 'UPDATE'" +
			" ? oldObject.?type.orValue('') == 'helm.sh/release.v1' && object.metadata.?labels['status'].orValue('') == 'uninstalling'" +
			" : !has(oldObject.metadata.deletionTimestamp))"},
		// A namespace that goes is decided before; nodes and the control plane
		// itself clean up after what has ended.
		{Name: "not-clean-up", Expression: "!(request.userInfo.?username.orValue('') in ['system:apiserver', 'system:kube-controller-manager'," +
			" 'system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:pod-garbage-collector'," +
			" 'system:serviceaccount:kube-system:ttl-after-finished-controller', 'system:serviceaccount:kube-system:endpoint-controller'])" +
			" && !request.userInfo.?username.orValue('').startsWith('system:node:')"},
		// A Deployment gives its annotations to its ReplicaSets, and cleans them up.
		{Name: "not-a-controllers", Expression: "!oldObject.metadata.?ownerReferences.orValue([]).exists(o," +
			" o.?controller.orValue(false) && o.apiVersion in ['apps/v1', 'batch/v1', 'v1'])"},
		{Name: "of-a-release", Expression: "oldObject.metadata.?annotations['meta.helm.sh/release-name'].hasValue()" +
			" || oldObject.metadata.?annotations['argocd.argoproj.io/tracking-id'].hasValue()" +
			" || oldObject.metadata.?labels['app.kubernetes.io/instance'].hasValue()" +
			" || oldObject.metadata.?labels['argocd.argoproj.io/instance'].hasValue()" +
			" || oldObject.?type.orValue('') == 'helm.sh/release.v1'" +
			" || (request.resource.group + '/' + request.resource.resource) in ['helm.toolkit.fluxcd.io/helmreleases', 'argoproj.io/applications']" +
			" || ('\\n' + params.?data['fenced'].orValue('')).contains('\\n' + " + fenceObject + " + '\\t')"},
	}
}

// fenceObject is the object as a target: RESOURCE.GROUP/NAMESPACE/NAME.
const fenceObject = "(request.resource.resource + (request.resource.group == '' ? '' : '.' + request.resource.group)" +
	" + '/' + oldObject.metadata.?namespace.orValue('') + '/' + oldObject.metadata.?name.orValue(''))"

// fenceVariables find the fence that a request runs into.
func fenceVariables() []admissionv1.Variable {
	return []admissionv1.Variable{
		{Name: "annotations", Expression: "oldObject.metadata.?annotations.orValue({})"},
		{Name: "labels", Expression: "oldObject.metadata.?labels.orValue({})"},
		{Name: "name", Expression: "oldObject.metadata.?name.orValue('')"},
		{Name: "objectNamespace", Expression: "oldObject.metadata.?namespace.orValue('')"},
		{Name: "resource", Expression: "request.resource.group + '/' + request.resource.resource"},
		{Name: "byHelm", Expression: "!('meta.helm.sh/release-name' in variables.annotations) ? []" +
			" : ['release/' + variables.annotations[?'meta.helm.sh/release-namespace'].orValue('') + '/' + variables.annotations['meta.helm.sh/release-name']]"},
		// Of the Secrets of a release, the one of the revision that runs. Helm
		// prunes older ones at upgrades.
		{Name: "record", Expression: "oldObject.?type.orValue('') != 'helm.sh/release.v1' || variables.labels[?'owner'].orValue('') != 'helm'" +
			" || (request.operation == 'DELETE' && variables.labels[?'status'].orValue('') != 'deployed') ? []" +
			" : ['release/' + variables.objectNamespace + '/' + variables.labels[?'name'].orValue('')]"},
		// By the label alone only what Helm has not put there: charts use it too.
		{Name: "byArgo", Expression: "'argocd.argoproj.io/tracking-id' in variables.annotations" +
			" ? ['application/' + variables.annotations['argocd.argoproj.io/tracking-id'].split(':')[0]]" +
			" : size(variables.byHelm) > 0 ? [] : ['app.kubernetes.io/instance', 'argocd.argoproj.io/instance'].filter(l, l in variables.labels).map(l, 'instance/' + variables.labels[l])"},
		// What drives a release: the HelmRelease of Flux, whose names default as
		// Flux says, and the Application of Argo CD, in whichever namespace.
		{Name: "driver", Expression: "variables.resource == 'helm.toolkit.fluxcd.io/helmreleases'" +
			" ? ['release/' + oldObject.?spec.?targetNamespace.orValue(variables.objectNamespace) + '/' + oldObject.?spec.?releaseName.orValue(" +
			"oldObject.?spec.?targetNamespace.optMap(t, t + '-').orValue('') + variables.name)]" +
			" : variables.resource == 'argoproj.io/applications'" +
			" ? ['application/' + variables.name, 'application/' + variables.objectNamespace + '_' + variables.name, 'instance/' + variables.name] : []"},
		{Name: "targets", Expression: "variables.byHelm + variables.record + variables.byArgo + variables.driver + [" + fenceObject + "]"},
		{Name: "lines", Expression: "params.?data['fenced'].orValue('').split('\\n').filter(l, variables.targets.exists(t, l.startsWith(t + '\\t')))"},
		{Name: "fence", Expression: "size(variables.lines) == 0 ? '' : variables.lines[0].split('\\t')[1]"},
		{Name: "open", Expression: "('\\n' + params.?data['opened'].orValue('')).contains('\\n' + variables.fence + '\\t' +" +
			" request.kind.kind + (request.kind.group == '' ? '' : '.' + request.kind.group) + '/' + variables.objectNamespace + '/' + variables.name + '\\n')"},
	}
}
