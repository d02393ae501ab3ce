{{/*
One of the four Deployments, and its PodDisruptionBudget where it has replicas to spare.
Takes root, component, values, args, port (or nothing), job (its job_type, or nothing) and grace (seconds to drain).
*/}}
{{- define "airflow.deployment" -}}
{{- $metadata := dict "root" .root "name" .component "component" .component "phase" "workloads" -}}
{{- $kubernetes := has "kubernetes" (include "airflow.reads" . | splitList ",") -}}
{{- $grace := .values.terminationGracePeriodSeconds | default .grace -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "airflow.metadata" $metadata | nindent 2 }}
spec:
  replicas: {{ .values.replicas }}
  revisionHistoryLimit: 2
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels:
      {{- include "airflow.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "airflow.labels" (dict "root" .root "component" .component) | trim | nindent 8 }}
      annotations:
        {{- range $key, $value := .values.podAnnotations }}
        {{ $key | toJson }}: {{ $value | toJson }}
        {{- end }}
        airfield.dev/checksum: "{{ include "airflow.checksum" . }}"
    spec:
      serviceAccountName: {{ include "airflow.environment" .root }}-{{ if $kubernetes }}{{ .component }}{{ else }}airflow{{ end }}
      automountServiceAccountToken: {{ $kubernetes }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $grace }}
      {{- include "airflow.imagePullSecrets" .root | nindent 6 }}
      {{- include "airflow.placement" . | nindent 6 }}
      securityContext:
        {{- include "airflow.podSecurityContext" (dict "ids" .root.Values.securityContext) | nindent 8 }}
      containers:
        - name: {{ .component }}
          image: {{ .root.Values.airflow.image | quote }}
          imagePullPolicy: {{ .root.Values.airflow.pullPolicy }}
          args: {{ concat (list "python" "-I" "-S" "/etc/airfield/scripts/start.py") .args | toJson }}
          env:
            {{- include "airflow.env" . | trim | nindent 12 }}
          {{- with .port }}
          ports: [{name: http, containerPort: {{ . }}}]
          {{- end }}
          # A Pod leaves the Service some seconds before every node knows of it; until then it still answers. And one
          # that is deleted while it is created is told to end in the first milliseconds of PID 1, which has no handler
          # of signals yet: it would run on until its grace period is over, which can be an hour.
          lifecycle: {preStop: {sleep: {seconds: {{ min $grace (.port | empty | ternary 2 5) }}}}}
          {{- include "airflow.probes" . | nindent 10 }}
          resources: {{ .values.resources | toJson }}
          {{- include "airflow.containerSecurityContext" . | nindent 10 }}
          volumeMounts:
            {{- include "airflow.volumeMounts" . | nindent 12 }}
      volumes:
        {{- include "airflow.volumes" . | nindent 8 }}
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "airflow.metadata" $metadata | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "airflow.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/*
Ready means that Airflow's heartbeat is fresh. The kubelet restarts a component only if the database says that it is dead,
never because the database is away. Each look is a process in the container and a connection to the database: nobody is sent
to these Pods by their readiness, so two a minute do. The first probe of a start waits for the heartbeat: many would cost the
imports their CPU. What is dead does not drain: it is not given the grace period of the Pod, which can be an hour.

Airflow builds the API that tasks speak to at the first request for it, in each of its processes (one, by default), and
answers nobody until it has: seconds of a processor. Were that a task's request, the task could fail on a busy machine.
*/}}
{{- define "airflow.probes" -}}
{{- if .port }}
{{- $path := .path | default "" }}
{{- $get := printf "httpGet: {path: %s/api/v2/version, port: http}" $path }}
startupProbe: {httpGet: {path: {{ $path }}/execution/health, port: http}, periodSeconds: 1, failureThreshold: 300, timeoutSeconds: 5}
readinessProbe: { {{- $get }}, periodSeconds: 10, failureThreshold: 2, timeoutSeconds: 10}
livenessProbe: { {{- $get }}, periodSeconds: 30, failureThreshold: 4, timeoutSeconds: 20, terminationGracePeriodSeconds: 20}
{{- else }}
{{- $probe := list "python" "-I" "-S" "/etc/airfield/scripts/probe.py" .job }}
startupProbe: {exec: {command: {{ concat $probe (list "started") | toJson }}}, initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 15, timeoutSeconds: 30}
readinessProbe: {exec: {command: {{ concat $probe (list "ready") | toJson }}}, periodSeconds: 30, failureThreshold: 2, timeoutSeconds: 10}
livenessProbe: {exec: {command: {{ concat $probe (list "alive") | toJson }}}, periodSeconds: 60, failureThreshold: 2, timeoutSeconds: 20, terminationGracePeriodSeconds: 20}
{{- end }}
{{- end }}
