{{/* The Pod of one KubernetesExecutor task; the executor adds name, arguments, labels and annotations. */}}
{{- define "airflow.podTemplate" -}}
{{- $context := dict "root" . "component" "worker" -}}
apiVersion: v1
kind: Pod
metadata:
  name: task
  labels:
    {{- include "airflow.labels" (dict "root" . "component" "worker") | trim | nindent 4 }}
  {{- with .Values.components.workers.podAnnotations }}
  annotations: {{ . | toJson }}
  {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "airflow.environment" . }}-worker
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "airflow.imagePullSecrets" . | nindent 2 }}
  {{- include "airflow.placement" (dict "values" .Values.components.workers) | nindent 2 }}
  securityContext:
    {{- include "airflow.podSecurityContext" (dict "ids" .Values.securityContext) | nindent 4 }}
  containers:
    - name: base
      image: {{ .Values.airflow.image | quote }}
      imagePullPolicy: {{ .Values.airflow.pullPolicy }}
      env:
        {{- include "airflow.env" $context | trim | nindent 8 }}
      resources: {{ .Values.components.workers.resources | toJson }}
      {{- include "airflow.containerSecurityContext" . | nindent 6 }}
      volumeMounts:
        {{- include "airflow.volumeMounts" $context | nindent 8 }}
  volumes:
    {{- include "airflow.volumes" $context | nindent 4 }}
{{- end }}
