{{/* Where the webhook is: called with the chart's values and a path. */}}
{{- define "webhook.client" -}}
{{- $ := index . 0 -}}
{{- $path := index . 1 -}}
{{- if $.Values.image -}}
service:
  name: webhook
  namespace: {{ $.Release.Namespace }}
  path: {{ $path }}
{{- else -}}
url: {{ required "image or url must be set" $.Values.url | trimSuffix "/" }}{{ $path }}
{{- end }}
{{- with $.Values.authority }}
caBundle: {{ b64enc . }}
{{- end }}
{{- end }}

{{/* Which namespaces the API server asks about. */}}
{{- define "webhook.namespaces" -}}
matchExpressions:
{{- if .Values.optIn }}
- key: policy.sigstore.dev/include
  operator: In
  values:
  - "true"
{{- else }}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
  {{- range .Values.excludedNamespaces }}
  - {{ . }}
  {{- end }}
  {{- if not (has .Release.Namespace .Values.excludedNamespaces) }}
  - {{ .Release.Namespace }}
  {{- end }}
{{- end }}
- key: webhooks.knative.dev/exclude
  operator: DoesNotExist
{{- end }}
