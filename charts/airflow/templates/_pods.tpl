{{/* The parts Airflow's Pods are made of. `component` is api-server, scheduler, dag-processor, triggerer, worker or migration. */}}

{{/* What a component reads: a comma-separated list out of fernet, api, jwt, database, timeouts, identity, bundles, kubernetes, template. */}}
{{- define "airflow.reads" -}}
{{- $kubernetes := eq .root.Values.executor "KubernetesExecutor" -}}
{{- if eq .component "api-server" }}fernet,api,jwt,database,timeouts{{ if .root.Values.identity.issuer }},identity{{ end }}{{ if $kubernetes }},kubernetes{{ end }}
{{- else if eq .component "scheduler" }}fernet,jwt,database,timeouts{{ if $kubernetes }},kubernetes,template{{ else }},bundles{{ end }}
{{- else if eq .component "dag-processor" }}fernet,database,timeouts,bundles
{{- else if eq .component "triggerer" }}fernet,database,timeouts
{{- else if eq .component "migration" }}database
{{- else }}bundles{{ end }}
{{- end }}

{{/*
A digest of everything that a component reads when it starts, and of nothing else: airflow.cfg, the scripts, the pod template
and the digests of its Secrets. Changes of the Pod itself need no digest, Kubernetes sees them.
*/}}
{{- define "airflow.checksum" -}}
{{- $reads := include "airflow.reads" . | splitList "," -}}
{{- $values := .root.Values -}}
{{- $secrets := list -}}
{{- range list "fernet" "api" "jwt" "database" }}{{ if has . $reads }}{{ $secrets = append $secrets (include "airflow.secret" (dict "root" $.root "key" .)) }}{{ end }}{{ end -}}
{{- if has "bundles" $reads }}{{ range $values.bundles }}{{ with .git }}{{ with .connectionSecret }}{{ $secrets = append $secrets . }}{{ end }}{{ end }}{{ end }}{{ end -}}
{{- range $values.env }}{{ with .secret }}{{ $secrets = append $secrets .name }}{{ end }}{{ end -}}
{{- if has "identity" $reads }}{{ with $values.identity.clientSecret.name }}{{ $secrets = append $secrets . }}{{ end }}{{ end -}}
{{- $digests := dict -}}
{{- range $secrets }}{{ $_ := set $digests . (get $values.digests . | default "") }}{{ end -}}
{{- $input := list (include "airflow.cfg" .root) ($digests | toJson) (.root.Files.Get "files/probe.py") -}}
{{- if has "timeouts" $reads }}{{ $input = append $input (.root.Files.Get "files/airfield_timeouts.py") }}{{ end -}}
{{- if has "identity" $reads }}{{ $input = append $input (include "airflow.identity" .root) }}{{ end -}}
{{- if has "kubernetes" $reads }}{{ $input = append $input (.root.Files.Get "files/airfield_kubernetes.py") }}{{ end -}}
{{- if has "template" $reads }}{{ $input = append $input (include "airflow.podTemplate" .root) }}{{ end -}}
{{- $input | toJson | sha256sum -}}
{{- end }}

{{- define "airflow.env" -}}
{{- $reads := include "airflow.reads" . | splitList "," -}}
{{- $fromSecrets := list
      (list "fernet" "AIRFLOW__CORE__FERNET_KEY" "fernet-key")
      (list "api" "AIRFLOW__API__SECRET_KEY" "secret-key")
      (list "database" "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" "uri") -}}
{{- $own := list "AIRFLOW_HOME" "AIRFLOW_CONFIG" "HOME" "PYTHONPATH" "AIRFIELD_ENVIRONMENT" "AIRFIELD_OIDC_CLIENT_SECRET" -}}
{{- range .root.Values.bundles }}{{ $own = append $own (printf "AIRFLOW_CONN_%s" (include "airflow.connection" .name | upper)) }}{{ end -}}
{{- if .root.Values.exposure.host }}{{ $own = append $own "FORWARDED_ALLOW_IPS" }}{{ end -}}
{{- range .root.Values.env }}
{{- if has .name $own }}{{ fail (printf "env %s is set by the chart; remove it" .name) }}{{ end }}
{{- /* What says where the provider is, or brings code along, is not for who lets people in. */}}
{{- if not (and (has "identity" $reads) (regexMatch "^(?i)(LD_.*|PYTHON.*|.*_PROXY|SSL_CERT_.*|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)$" .name)) }}
- name: {{ .name | quote }}
  {{- if .secret }}
  valueFrom: {secretKeyRef: {name: {{ .secret.name | quote }}, key: {{ .secret.key | quote }}}}
  {{- else }}
  value: {{ .value | replace "$" "$$" | toJson }}
  {{- end }}
{{- end }}
{{- end }}
- {name: AIRFLOW_HOME, value: /opt/airflow}
- {name: AIRFLOW_CONFIG, value: /etc/airfield/config/airflow.cfg}
# The image is read-only; libraries that write below ~ find a place.
- {name: HOME, value: /tmp}
{{- range $fromSecrets }}
{{- if has (first .) $reads }}
- name: {{ index . 1 }}
  valueFrom: {secretKeyRef: {name: {{ include "airflow.secret" (dict "root" $.root "key" (first .)) | quote }}, key: {{ index . 2 }}}}
{{- end }}
{{- end }}
{{- if and .root.Values.exposure.host (eq .component "api-server") }}
# Who may reach it at all, the NetworkPolicy says: the proxy's word on scheme and client counts.
- {name: FORWARDED_ALLOW_IPS, value: "*"}
{{- end }}
{{- if has "jwt" $reads }}
- {name: AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH, value: /etc/airfield/jwt/private.pem}
- {name: AIRFLOW__API_AUTH__TRUSTED_JWKS_URL, value: /etc/airfield/jwt/jwks.json}
{{- end }}
{{- if has "identity" $reads }}
# The scripts are modules of the api-server alone: to everybody else the auth manager is FAB's own.
- {name: PYTHONPATH, value: /etc/airfield/identity}
- {name: AIRFLOW__CORE__AUTH_MANAGER, value: airfield_identity.AuthManager}
- {name: AIRFLOW__FAB__CONFIG_FILE, value: /etc/airfield/identity/webserver_config.py}
{{- with .root.Values.identity.clientSecret }}
- name: AIRFIELD_OIDC_CLIENT_SECRET
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- if has "kubernetes" $reads }}
- {name: AIRFIELD_ENVIRONMENT, value: {{ include "airflow.environment" .root | quote }}}
{{- end }}
{{- if has "bundles" $reads }}
{{- range .root.Values.bundles }}
{{- $name := .name }}
{{- with .git }}
{{- with .connectionSecret }}
- name: AIRFLOW_CONN_{{ include "airflow.connection" $name | upper }}
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: connection}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "airflow.volumeMounts" -}}
{{- $reads := include "airflow.reads" . | splitList "," -}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/airfield/config, readOnly: true}
{{- if ne .component "worker" }}
- {name: scripts, mountPath: /etc/airfield/scripts, readOnly: true}
{{- end }}
{{- if eq .component "migration" }}
- {name: tmp, mountPath: /opt/airflow/logs, subPath: logs}
{{- else }}
- {name: logs, mountPath: /opt/airflow/logs}
{{- end }}
{{- if has "jwt" $reads }}
- {name: jwt, mountPath: /etc/airfield/jwt, readOnly: true}
{{- end }}
{{- if has "identity" $reads }}
- {name: identity, mountPath: /etc/airfield/identity, readOnly: true}
- {name: administrator, mountPath: /etc/airfield/administrator, readOnly: true}
{{- end }}
{{- /* Single files, so that the image's own config folder stays visible; Airflow imports from there. */}}
{{- if has "timeouts" $reads }}
- {name: timeouts, mountPath: /opt/airflow/config/airfield_timeouts.py, subPath: airfield_timeouts.py, readOnly: true}
{{- end }}
{{- if has "kubernetes" $reads }}
- {name: scripts, mountPath: /opt/airflow/config/airfield_kubernetes.py, subPath: airfield_kubernetes.py, readOnly: true}
{{- end }}
{{- if has "template" $reads }}
- {name: pod-template, mountPath: /etc/airfield/pod-template, readOnly: true}
{{- end }}
{{- if has "bundles" $reads }}
{{- range .root.Values.bundles }}
{{- if dig "git" "connectionSecret" "" . }}
- {name: git-{{ .name }}, mountPath: /etc/airfield/git/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "airflow.volumes" -}}
{{- $reads := include "airflow.reads" . | splitList "," -}}
{{- $name := include "airflow.environment" .root -}}
- {name: tmp, emptyDir: {}}
- {name: config, configMap: {name: {{ $name }}-config}}
{{- if ne .component "worker" }}
- {name: scripts, configMap: {name: {{ $name }}-scripts}}
{{- end }}
{{- if has "timeouts" $reads }}
# Not by a subPath of `scripts`: a kubelet that has not heard of the key yet would make a folder of that name.
- {name: timeouts, configMap: {name: {{ $name }}-scripts, items: [{key: airfield_timeouts.py, path: airfield_timeouts.py}]}}
{{- end }}
{{- if ne .component "migration" }}
- {name: logs, persistentVolumeClaim: {claimName: {{ $name }}-logs}}
{{- end }}
{{- if has "jwt" $reads }}
- {name: jwt, secret: {secretName: {{ include "airflow.secret" (dict "root" .root "key" "jwt") | quote }}, defaultMode: 0440}}
{{- end }}
{{- if has "identity" $reads }}
- {name: identity, configMap: {name: {{ $name }}-identity}}
# Who may log in by password: the name, not the password.
- name: administrator
  secret: {secretName: {{ include "airflow.secret" (dict "root" .root "key" "admin") | quote }}, defaultMode: 0440, items: [{key: username, path: username}]}
{{- end }}
{{- if has "template" $reads }}
- {name: pod-template, configMap: {name: {{ $name }}-pod-template}}
{{- end }}
{{- if has "bundles" $reads }}
{{- range .root.Values.bundles }}
{{- $bundle := .name }}
{{- with dig "git" "connectionSecret" "" . }}
# The server's keys, where the Secret has them; ssh reads them from a file.
- {name: git-{{ $bundle }}, secret: {secretName: {{ . | quote }}, optional: true, items: [{key: known_hosts, path: known_hosts}]}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Takes ids: runAsUser, runAsGroup and fsGroup, as far as the platform does not choose them. */}}
{{- define "airflow.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
# A volume is not walked through at every start, and PostgreSQL's files keep their mode.
fsGroupChangePolicy: OnRootMismatch
{{- range $key, $id := .ids }}
{{- if not (kindIs "invalid" $id) }}
{{ $key }}: {{ int64 $id }}
{{- end }}
{{- end }}
{{- end }}

{{- define "airflow.containerSecurityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "airflow.imagePullSecrets" -}}
{{- with .Values.airflow.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where a Pod may run, out of a component's values. */}}
{{- define "airflow.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with get $.values $key }}
{{ $key }}: {{ . | toJson }}
{{- end }}
{{- end }}
{{- end }}
