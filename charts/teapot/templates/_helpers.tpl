{{- define "teapot.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of names. With -manager-metrics it is the name of a Service, which has 63 characters at most. */}}
{{- define "teapot.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- $name := include "teapot.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" }}
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

{{- define "teapot.gatewayName" -}}
{{ include "teapot.fullname" . }}-gateway
{{- end }}

{{- define "teapot.gatewayServiceAccountName" -}}
{{- with .Values.gateway.serviceAccount }}
{{- if .create }}
{{- default (include "teapot.gatewayName" $) .name }}
{{- else }}
{{- required "gateway.serviceAccount.name: must name an existing service account when gateway.serviceAccount.create is false" .name }}
{{- end }}
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

{{- define "teapot.gatewayLabels" -}}
{{ include "teapot.gatewaySelector" . }}
{{ include "teapot.labels" . }}
{{- end }}

{{- define "teapot.gatewaySelector" -}}
app.kubernetes.io/name: {{ include "teapot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
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

{{/*
The name of one of Teapot's images, which are released together: the tag of the manager's is that
of all that name none.
*/}}
{{- define "teapot.image" -}}
{{- $name := include "teapot.inRegistry" (dict "root" .root "name" .image.repository) }}
{{- if .image.digest }}
{{- printf "%s@%s" $name .image.digest }}
{{- else }}
{{- printf "%s:%s" $name (coalesce .image.tag .root.Values.image.tag .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The names by which Prometheus asks for metrics. The certificate of the manager's must be for its. */}}
{{- define "teapot.metricsName" -}}
{{ include "teapot.managerName" . }}-metrics
{{- end }}

{{- define "teapot.gatewayMetricsName" -}}
{{ include "teapot.gatewayName" . }}-metrics
{{- end }}
