{{/* Name of the Deployment and of most objects. */}}
{{- define "daemonset-job.name" -}}
{{- $default := ternary .Release.Name (printf "%s-daemonset-job" .Release.Name) (contains "daemonset-job" .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* Selector of the pods of this release. A Deployment's selector is immutable, so this must not change. */}}
{{- define "daemonset-job.selector" -}}
app.kubernetes.io/name: {{ include "daemonset-job.name" . }}
{{- end }}

{{/* Labels of pods and of all other objects. */}}
{{- define "daemonset-job.ownLabels" -}}
{{ include "daemonset-job.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: daemonset-job
{{- end }}

{{/* Labels and annotations of an object. The caller may pass further `labels` and `annotations`. */}}
{{- define "daemonset-job.metadata" -}}
{{- $root := .root -}}
{{- $own := include "daemonset-job.ownLabels" $root | fromYaml -}}
{{- $helm := dict "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
labels:
  {{- merge (dict) $own $helm (.labels | default dict) $root.Values.labels | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) $root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "daemonset-job.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "daemonset-job.name" .) -}}
{{- end }}

{{/* Reference of the image of operator or terminator. */}}
{{- define "daemonset-job.ownImage" -}}
{{- include "daemonset-job.image" (dict "image" .image "registry" .root.Values.image.registry "version" .root.Chart.AppVersion) -}}
{{- end }}

{{/* Reference of an image by registry, repository, tag and digest. */}}
{{- define "daemonset-job.image" -}}
{{- with .image.registry | default .registry }}{{ . }}/{{ end -}}
{{- .image.repository -}}
{{- with .image.tag | default (ternary .version "" (empty .image.digest)) }}:{{ . }}{{ end -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* Rules of the ClusterRole in files/rbac.yaml, a copy of deploy/30-rbac.yaml. */}}
{{- define "daemonset-job.rules" -}}
{{- range splitList "\n---\n" (.Files.Get "files/rbac.yaml") }}
{{- $object := fromYaml . }}
{{- if eq $object.kind "ClusterRole" }}
{{- dict "rules" $object.rules | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* Subjects of the bindings: the service account. */}}
{{- define "daemonset-job.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "daemonset-job.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
