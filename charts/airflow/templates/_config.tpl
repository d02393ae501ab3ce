{{/* airflow.cfg. Whatever is wired here belongs to the chart: naming such a key in `config` or `env` is an error. */}}

{{/* Keys of the chart that come from elsewhere than airflow.cfg: Secrets, or defaults that must stay. Former names of keys, too. */}}
{{- define "airflow.reserved" -}}
core: [fernet_key, hostname_callable, multi_team, simple_auth_manager_users, simple_auth_manager_all_admins, sql_alchemy_conn]
api: [secret_key, host, port, ssl_cert, ssl_key]
api_auth: [jwt_secret, jwt_private_key_path, trusted_jwks_url, jwt_kid, jwt_algorithm]
database: [sql_alchemy_conn, sql_alchemy_conn_async]
fab: [auth_backends, auth_role_public, config_file]
logging: [worker_log_server_port, trigger_log_server_port]
kubernetes_executor: [namespace, pod_template_file, client_factory, in_cluster, config_file, cluster_context, async_pod_creation, async_client_factory, multi_namespace_mode,
  multi_namespace_mode_namespace_list, worker_container_repository, worker_container_tag]
webserver: [web_server_host, web_server_port, web_server_ssl_cert, web_server_ssl_key, secret_key]
workers: [execution_api_server_url]
{{- end }}

{{- define "airflow.owned" -}}
{{- $name := include "airflow.environment" . -}}
{{- $identity := printf "urn:airfield:%s:%s" .Release.Namespace $name -}}
{{- $path := "" -}}
{{- with dig "api" "base_url" "" .Values.config }}{{ $path = (urlParse .).path | trimSuffix "/" }}{{ end -}}
core:
  executor: {{ .Values.executor }}
  auth_manager: airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
  execution_api_server_url: http://{{ $name }}-api-server:8080{{ $path }}/execution/
{{- if or .Values.identity.issuer .Values.exposure.host }}
fab:
  {{- if .Values.identity.issuer }}
  session_max_lifetime_minutes: {{ .Values.identity.sessionMinutes | int }}
  {{- end }}
  {{- if .Values.exposure.host }}
  cookie_secure: "True"
  {{- end }}
{{- end }}
{{- with .Values.exposure.host }}
api:
  base_url: https://{{ . }}
{{- end }}
api_auth:
  {{- if .Values.identity.issuer }}
  jwt_expiration_time: {{ mul .Values.identity.sessionMinutes 60 | int }}
  jwt_cli_expiration_time: {{ mul .Values.identity.sessionMinutes 60 | int }}
  {{- end }}
  jwt_issuer: {{ $identity | quote }}
  jwt_audience: {{ printf "%s:api" $identity | quote }}
execution_api:
  jwt_audience: {{ printf "%s:task" $identity | quote }}
dag_processor:
  dag_bundle_config_list: {{ include "airflow.bundles" . | quote }}
  dag_bundle_storage_path: /tmp/bundles
logging:
  base_log_folder: /opt/airflow/logs
{{- if eq .Values.executor "KubernetesExecutor" }}
kubernetes_executor:
  namespace: {{ .Release.Namespace | quote }}
  pod_template_file: /etc/airfield/pod-template/pod.yaml
  client_factory: airfield_kubernetes.client
{{- end }}
{{- end }}

{{/* Unlike the wiring, these only replace Airflow's own defaults; `config` wins. */}}
{{- define "airflow.defaults" -}}
core:
  load_examples: "False"
{{- if eq .Values.executor "LocalExecutor" }}
  # Workers are forked at the start, and tasks run within the scheduler's memory limit.
  parallelism: "8"
{{- else }}
kubernetes_executor:
  worker_pods_creation_batch_size: "16"
  # A task for which a namespace's quota has no room now waits for some; by Airflow's own default it fails.
  task_publish_max_retries: "-1"
{{- end }}
{{- end }}

{{/* dag_bundle_config_list as JSON. */}}
{{- define "airflow.bundles" -}}
{{- $list := list -}}
{{- $connections := dict -}}
{{- range .Values.bundles -}}
  {{- $connection := include "airflow.connection" .name -}}
  {{- if hasKey $connections $connection }}{{ fail (printf "bundles %q and %q need different names: both would use the connection %s" (get $connections $connection) .name $connection) }}{{ end -}}
  {{- $_ := set $connections $connection .name -}}
  {{- $class := "airflow.dag_processing.bundles.local.LocalDagBundle" -}}
  {{- $source := .local | default .git -}}
  {{- $kwargs := dict "refresh_interval" ($source.refreshIntervalSeconds | default 60 | int) -}}
  {{- if .local -}}
    {{- $_ := set $kwargs "path" .local.path -}}
  {{- else -}}
    {{- $class = "airflow.providers.git.bundles.git.GitDagBundle" -}}
    {{- $_ := set $kwargs "repo_url" .git.url -}}
    {{- $_ := set $kwargs "tracking_ref" .git.ref -}}
    {{- with .git.subdir }}{{ $_ := set $kwargs "subdir" . }}{{ end -}}
    {{- with .git.connectionSecret }}{{ $_ := set $kwargs "git_conn_id" $connection }}{{ end -}}
  {{- end -}}
  {{- $list = append $list (dict "name" .name "classpath" $class "kwargs" $kwargs) -}}
{{- end -}}
{{- $list | toJson -}}
{{- end }}

{{/*
One value as airflow.cfg carries it. Its format has no escapes, so what it cannot carry is refused: `%` is doubled, line
breaks become indented lines, but Airflow expands $NAME and ${NAME}, and drops lines that begin with # or ;.
Takes name, value.
*/}}
{{- define "airflow.ini" -}}
{{- if regexMatch "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]" .value }}{{ fail (printf "%s holds a control character; remove it" .name) }}{{ end -}}
{{- if regexMatch "\\$(\\w|\\{)" .value }}{{ fail (printf "%s holds a $ before a name, which Airflow would replace by an environment variable; write the value itself, or use env" .name) }}{{ end -}}
{{- if regexMatch "\\n[ \\t]*[#;]" .value }}{{ fail (printf "%s has a line that begins with # or ;, which Airflow would drop as a comment; join the lines" .name) }}{{ end -}}
{{- .value | replace "%" "%%" | replace "\n" "\n    " -}}
{{- end }}

{{- define "airflow.cfg" -}}
{{- $owned := include "airflow.owned" . | fromYaml -}}
{{- $reserved := include "airflow.reserved" . | fromYaml -}}
{{- /* Its former place. */}}
{{- if .Values.exposure.host }}{{ $_ := set $reserved "webserver" (append $reserved.webserver "base_url") }}{{ end -}}
{{- range $section, $keys := $owned }}{{ $_ := set $reserved $section (concat (get $reserved $section | default list) (keys $keys)) }}{{ end -}}
{{- range $section, $keys := $reserved -}}
  {{- range $key := $keys -}}
    {{- range $suffix := list "" "_cmd" "_secret" -}}
      {{- if hasKey (get $.Values.config $section | default dict) (print $key $suffix) }}{{ fail (printf "config.%s.%s is set by the chart; remove it" $section (print $key $suffix)) }}{{ end -}}
      {{- $variable := printf "AIRFLOW__%s__%s%s" ($section | upper) ($key | upper) ($suffix | upper) -}}
      {{- range $.Values.env }}{{ if eq .name $variable }}{{ fail (printf "env %s is set by the chart; remove it" $variable) }}{{ end }}{{ end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $config := mergeOverwrite (include "airflow.defaults" . | fromYaml) (deepCopy .Values.config) $owned -}}
# Rendered by Airfield: changes belong in the AirflowEnvironment.
{{- range $section, $keys := $config }}

[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "airflow.ini" (dict "name" (printf "config.%s.%s" $section $key) "value" (toString $value)) }}
{{- end }}
{{- end }}
{{- end }}
