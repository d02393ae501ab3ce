{{- define "airfield.selector" -}}
app.kubernetes.io/name: airfield
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "airfield.labels" -}}
{{ include "airfield.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* metadata of an object in the operator's namespace. */}}
{{- define "airfield.metadata" -}}
name: airfield
namespace: {{ .Release.Namespace }}
labels: {{- include "airfield.labels" . | nindent 2 }}
{{- end }}

{{/* Ports of a NetworkPolicy rule. Takes a list of TCP ports. */}}
{{- define "airfield.ports" -}}
{{- range . }}
- {protocol: TCP, port: {{ int . }}}
{{- end }}
{{- end }}

{{/* Peers of a NetworkPolicy rule. Takes a list of address ranges. */}}
{{- define "airfield.cidrs" -}}
{{- range . }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end }}

{{- /* Whether the cluster can record who changes resources: not empty where it serves MutatingAdmissionPolicies (1.36 on). */}}
{{- define "airfield.recordsChanges" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}true{{ end }}
{{- end }}
