{{- define "voucherd.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "voucherd.selector" -}}
app.kubernetes.io/name: voucherd
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "voucherd.labels" -}}
{{ include "voucherd.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "voucherd.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "voucherd.env" -}}
- name: VOUCHERD_REDIS_URL
{{- if .Values.redis.urlSecret.name }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.urlSecret.name }}
      key: {{ .Values.redis.urlSecret.key }}
{{- else if .Values.redis.url }}
  value: {{ .Values.redis.url | quote }}
{{- else if .Values.redis.enabled }}
  value: redis://{{ include "voucherd.name" . }}-redis:6379/0
{{- else }}
  {{- fail "where is Redis? Set redis.url, or redis.urlSecret.name, or redis.enabled=true for one of the chart's own" }}
{{- end }}
- name: VOUCHERD_STORE
  value: {{ .Values.store.url | quote }}
{{- if .Values.secret.accounts }}
- name: VOUCHERD_ACCOUNTS_FILE
  value: /run/secrets/voucherd/{{ .Values.secret.accounts }}
{{- else }}
- name: PANDAPON_ACCESS_KEY
  value: {{ required "which account? Set account.accessKey, or secret.accounts to the key of an accounts file" .Values.account.accessKey | quote }}
- name: PANDAPON_ACCESS_SECRET_FILE
  value: /run/secrets/voucherd/{{ .Values.secret.accessSecret }}
{{- with .Values.account.userId }}
- name: PANDAPON_USER_ID
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "voucherd.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false # else they set VOUCHERD_… variables, which voucherd reports as unknown
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
volumes:
  - name: secrets
    secret:
      secretName: {{ .Values.secret.name }}
      defaultMode: 0440
  {{- if .Values.store.claim }}
  - name: store
    persistentVolumeClaim:
      claimName: {{ .Values.store.claim }}
  {{- end }}
{{- end -}}

{{- define "voucherd.container" -}}
image: {{ include "voucherd.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: secrets
    mountPath: /run/secrets/voucherd
    readOnly: true
  {{- if .Values.store.claim }}
  - name: store
    mountPath: /var/lib/voucherd
  {{- end }}
{{- end -}}

{{- define "voucherd.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "voucherd.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
{{- end -}}
