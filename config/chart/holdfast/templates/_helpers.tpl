{{/*
SPDX-FileCopyrightText: The Holdfast Authors
SPDX-License-Identifier: Apache-2.0
*/}}

{{/* What tells this chart's Pods from all others. */}}
{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The port of an address such as ":8080" or "127.0.0.1:8080". */}}
{{- define "holdfast.portOf" -}}
{{ splitList ":" . | last }}
{{- end }}

{{- define "holdfast.profileRole" -}}
holdfast-profiles
{{- end }}
