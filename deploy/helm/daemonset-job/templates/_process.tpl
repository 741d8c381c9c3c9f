{{/* Parts of the containers of both processes. */}}

{{- define "daemonset-job.args" -}}
{{- with .extraArgs -}}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "daemonset-job.env" -}}
- name: NAMESPACE
  value: {{ quote .Values.watchNamespace }}
# Replicas elect a leader by these two.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if ne .Values.log.format "text" }}
- name: LOG_FORMAT
  value: {{ .Values.log.format }}
{{- end }}
{{- if ne .Values.log.filter "info" }}
- name: RUST_LOG
  value: {{ quote .Values.log.filter }}
{{- end }}
{{- end }}

{{- define "daemonset-job.process" -}}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
ports:
  - name: {{ .port }}
    containerPort: {{ .number }}
# /readyz waits for the API server, which a restart would not bring back.
startupProbe:
  httpGet:
    path: /livez
    port: {{ .port }}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ .port }}
  periodSeconds: 2
livenessProbe:
  httpGet:
    path: /livez
    port: {{ .port }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
{{- end }}
