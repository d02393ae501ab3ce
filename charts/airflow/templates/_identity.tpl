{{/* The files that make the api-server ask an OpenID Connect provider, as data of a ConfigMap. What is given is data: identity.json. */}}
{{- define "airflow.identity" -}}
{{- range $path, $_ := .Files.Glob "files/identity/*.py" }}
{{ base $path }}: |
  {{- $.Files.Get $path | nindent 2 }}
{{- end }}
{{- with .Values.identity }}
identity.json: {{ pick . "issuer" "clientId" "audience" "usernameClaim" "subjectClaim" "groupsClaim" "scopes" "roles" | toJson | toJson }}
{{- with .caBundle }}
ca.pem: {{ . | toJson }}
{{- end }}
{{- end }}
{{- end }}
