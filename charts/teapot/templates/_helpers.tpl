{{- define "teapot.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of names. 50 characters leave room for what is appended. */}}
{{- define "teapot.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "teapot.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "teapot.managerName" -}}
{{ include "teapot.fullname" . }}-manager
{{- end }}

{{- define "teapot.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "teapot.managerName" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: must name an existing service account when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "teapot.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/part-of: teapot
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "teapot.managerLabels" -}}
{{ include "teapot.managerSelector" . }}
{{ include "teapot.labels" . }}
{{- end }}

{{- define "teapot.managerSelector" -}}
app.kubernetes.io/name: {{ include "teapot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end }}

{{/*
The name of an image, or of a path of images, with global.imageRegistry in place of its
registry. The first part of a name is a registry if it could be a host, as for container
runtimes.
*/}}
{{- define "teapot.inRegistry" -}}
{{- $registry := (.root.Values.global).imageRegistry }}
{{- $parts := splitList "/" .name }}
{{- if not $registry }}
{{- .name }}
{{- else if regexMatch "[.:]|^localhost$" (first $parts) }}
{{- prepend (rest $parts) $registry | join "/" }}
{{- else }}
{{- printf "%s/%s" $registry .name }}
{{- end }}
{{- end }}

{{- define "teapot.image" -}}
{{- $name := include "teapot.inRegistry" (dict "root" . "name" .Values.image.repository) }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The name by which Prometheus asks for metrics, and for which their certificate must be. */}}
{{- define "teapot.metricsName" -}}
{{ include "teapot.managerName" . }}-metrics
{{- end }}
