{{/* Names and labels. A release name of at most 40 characters keeps every name and label value within 63. */}}

{{- define "airflow.environment" -}}
{{- if gt (len .Release.Name) 40 }}{{ fail (printf "the environment's name %q has %d characters; use at most 40" .Release.Name (len .Release.Name)) }}{{ end -}}
{{- .Release.Name -}}
{{- end }}

{{- define "airflow.selector" -}}
airfield.dev/environment: {{ include "airflow.environment" .root | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object or Pod: the user's, then ours over them. Takes root, component (may be empty), phase (empty on Pods). */}}
{{- define "airflow.labels" -}}
{{- $own := dict
      "airfield.dev/environment" (include "airflow.environment" .root)
      "app.kubernetes.io/managed-by" "airfield"
      "app.kubernetes.io/name" "airflow"
      "app.kubernetes.io/instance" .root.Release.Name -}}
{{- /* Airflow's version is not the database's: a new one must not restart it. */ -}}
{{- if ne .component "database" }}{{ $_ := set $own "app.kubernetes.io/version" .root.Values.airflow.version }}{{ end -}}
{{- with .component }}{{ $_ := set $own "app.kubernetes.io/component" . }}{{ end -}}
{{- with .phase }}{{ $_ := set $own "airfield.dev/phase" . }}{{ end -}}
{{- range $key, $value := merge $own (deepCopy .root.Values.labels) }}
{{ $key | toJson }}: {{ $value | toJson }}
{{- end }}
{{- end }}

{{/* metadata of an object. Takes root, name (after the environment's), component, phase. */}}
{{- define "airflow.metadata" -}}
name: {{ include "airflow.environment" .root }}-{{ .name }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "airflow.labels" . | trim | nindent 2 }}
{{- end }}

{{/* The name of the Secret with the environment's fernet, api, jwt or database credentials. Takes root, key. */}}
{{- define "airflow.secret" -}}
{{- get .root.Values.secrets .key | default (printf "%s-%s" (include "airflow.environment" .root) .key) -}}
{{- end }}

{{/* The Airflow connection id of a git bundle. */}}
{{- define "airflow.connection" -}}git_{{ . | replace "-" "_" }}{{- end }}
