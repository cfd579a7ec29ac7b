{{/* Avoids a doubled name if the release is named after the chart. */}}
{{- define "tokenfall.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tokenfall.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tokenfall.labels" -}}
{{ include "tokenfall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tokenfall.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tokenfall.keysSecret" -}}
{{- if .Values.keys.existingSecret }}{{ .Values.keys.existingSecret }}
{{- else if .Values.keys.values }}{{ include "tokenfall.name" . }}-keys{{ end }}
{{- end }}

{{/* Checks of combinations of values, which the schema cannot express. */}}
{{- define "tokenfall.check" -}}
{{- $redis := or .Values.redis.url .Values.redis.existingSecret }}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- if and $several .Values.upstream.url (not $redis) }}
{{- fail "replicas, autoscaling: several replicas of a chat with an upstream need redis.url or redis.existingSecret; otherwise each keeps its own conversations" }}
{{- end }}
{{- if and .Values.persistence.enabled (or $several $redis) }}
{{- fail "persistence.enabled: SQLite on a volume is for one replica without redis" }}
{{- end }}
{{- if and .Values.upstream.url (not (include "tokenfall.keysSecret" .)) (not (eq (toString .Values.settings.ALLOW_ANONYMOUS) "true")) }}
{{- fail "upstream.url: needs keys.existingSecret or keys.values with API_KEY, or settings.ALLOW_ANONYMOUS \"true\"; otherwise the server does not start" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas: must not be above autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
