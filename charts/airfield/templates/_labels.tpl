{{- define "airfield.selector" -}}
app.kubernetes.io/name: airfield
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "airfield.labels" -}}
{{ include "airfield.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}
