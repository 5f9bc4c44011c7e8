{{- define "tailback.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tailback.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "tailback.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tailback.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tailback.selector" -}}
app.kubernetes.io/name: {{ include "tailback.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tailback.labels" -}}
{{ include "tailback.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Fails where the values contradict each other, which their schema cannot say. */ -}}
{{- define "tailback.check" -}}
{{- if and .Values.brokers .Values.config -}}
{{- fail "set `brokers` or `config`, not both: the brokers belong into the configuration" -}}
{{- end -}}
{{- if not (or .Values.brokers .Values.config) -}}
{{- fail "set `brokers` (URLs) or `config` (tailback's TOML): which broker is to be watched?" -}}
{{- end -}}
{{- if and .Values.state.enabled (not .Values.config) -}}
{{- fail "`state.enabled` needs `config`: broker URLs alone leave no place for `[state]`" -}}
{{- end -}}
{{- end -}}
