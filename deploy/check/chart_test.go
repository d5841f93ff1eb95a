// Package check holds the tests of what this project is deployed with: the chart, the units and the
// Compose file. It is a module of its own, so that what reads them is no dependency of voucherd.
package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const chartDir = "../chart"

// least are the values that a person must give.
func least() map[string]any {
	return map[string]any{
		"account": map[string]any{"accessKey": "key"},
		"redis":   map[string]any{"url": "redis://redis:6379/0"},
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	linter := lint.AllWithKubeVersion(chartDir, least(), "default", &chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"})
	for _, m := range linter.Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

// objects are what the chart renders to, by kind and name. An object with a field that its API does
// not know fails the test.
func objects(t *testing.T, values map[string]any) map[string]any {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		docs := yamlutil.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(bytes.TrimSpace(doc)) == 0 {
				continue
			}
			key, object := decode(t, name, doc)
			if found[key] != nil {
				t.Errorf("%s: a second %s", name, key)
			}
			found[key] = object
		}
	}
	return found
}

func decode(t *testing.T, file string, doc []byte) (string, any) {
	t.Helper()
	var head struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	object, ok := map[string]any{
		"apps/v1 Deployment":                      &appsv1.Deployment{},
		"apps/v1 StatefulSet":                     &appsv1.StatefulSet{},
		"v1 Service":                              &corev1.Service{},
		"policy/v1 PodDisruptionBudget":           &policyv1.PodDisruptionBudget{},
		"networking.k8s.io/v1 Ingress":            &networkingv1.Ingress{},
		"monitoring.coreos.com/v1 ServiceMonitor": &monitoringv1.ServiceMonitor{},
	}[head.APIVersion+" "+head.Kind]
	if !ok {
		t.Fatalf("%s: an object of kind %s %s, which nothing checks", file, head.APIVersion, head.Kind)
	}
	if err := yaml.UnmarshalStrict(doc, object); err != nil {
		t.Errorf("%s: %v\n%s", file, err, doc)
	}
	return head.Kind + "/" + head.Metadata.Name, object
}

func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c := load(t)
	release := chartutil.ReleaseOptions{Name: "voucherd", Namespace: "shop", IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, all)
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChart(t *testing.T) {
	t.Parallel()
	found := objects(t, least())
	want := []string{
		"Deployment/voucherd-gateway", "Deployment/voucherd-worker",
		"PodDisruptionBudget/voucherd-gateway", "PodDisruptionBudget/voucherd-worker", "Service/voucherd-gateway",
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
		t.Errorf("objects %v, want %v", got, want)
	}
	worker, _ := found["Deployment/voucherd-worker"].(*appsv1.Deployment)
	pod := worker.Spec.Template.Spec
	if *worker.Spec.Replicas != 2 || *pod.TerminationGracePeriodSeconds != 90 || pod.Containers[0].Image != "voucherd:0.1.0" {
		t.Errorf("worker %+v", worker.Spec)
	}
	env := environment(pod.Containers[0])
	for name, value := range map[string]string{
		"VOUCHERD_REDIS_URL": "redis://redis:6379/0", "PANDAPON_ACCESS_KEY": "key",
		"PANDAPON_ACCESS_SECRET_FILE": "/run/secrets/voucherd/access-secret", "VOUCHERD_CONCURRENCY": "16",
	} {
		if env[name] != value {
			t.Errorf("%s is %q, want %q", name, env[name], value)
		}
	}
	for key, object := range found {
		if d, ok := object.(*appsv1.Deployment); ok {
			hardened(t, key, d.Spec.Template.Spec)
			for name, value := range d.Spec.Selector.MatchLabels {
				if d.Spec.Template.Labels[name] != value {
					t.Errorf("%s: its selector does not select it", key)
				}
			}
		}
	}
}

func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

func hardened(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	s := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation ||
		*pod.AutomountServiceAccountToken || pod.Containers[0].Resources.Limits.Memory().IsZero() {
		t.Errorf("%s is not hardened", name)
	}
}

func TestEverythingOn(t *testing.T) {
	t.Parallel()
	found := objects(t, map[string]any{
		"secret": map[string]any{"accounts": "accounts.yml", "webhookSecret": "hooks"},
		"redis":  map[string]any{"enabled": true, "storageClass": "fast"},
		"store":  map[string]any{"url": "file:///var/lib/voucherd", "claim": "vouchers"},
		"worker": map[string]any{"replicas": nil, "nodeSelector": map[string]any{"disk": "ssd"}},
		"gateway": map[string]any{
			"trustedProxy": "10.0.0.0/8",
			"ingress": map[string]any{
				"enabled": true, "className": "nginx", "host": "vouchers.example", "tlsSecret": "tls", "annotations": map[string]any{"a": "b"},
			},
		},
		"settings":         map[string]any{"PANDAPON_TIMESTAMP_UNIT": "s", "VOUCHERD_REFUSAL_BUDGET": 5},
		"imagePullSecrets": []any{map[string]any{"name": "registry"}},
		"serviceMonitor":   map[string]any{"enabled": true, "labels": map[string]any{"release": "p"}, "tokenSecret": map[string]any{"name": "t"}},
	})
	if len(found) != 11 {
		t.Errorf("%d objects: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
	worker, _ := found["Deployment/voucherd-worker"].(*appsv1.Deployment)
	env := environment(worker.Spec.Template.Spec.Containers[0])
	for name, value := range map[string]string{
		"VOUCHERD_REDIS_URL": "redis://voucherd-redis:6379/0", "VOUCHERD_ACCOUNTS_FILE": "/run/secrets/voucherd/accounts.yml",
		"VOUCHERD_REFUSAL_BUDGET": "5", "PANDAPON_ACCESS_KEY": "",
	} {
		if env[name] != value {
			t.Errorf("%s is %q, want %q", name, env[name], value)
		}
	}
	if worker.Spec.Replicas != nil {
		t.Error("the autoscaler's replicas are the chart's")
	}
}

// TestRefusals has values that cannot work, and looks for the sentence that says so.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(map[string]any){
		"where is Redis":     func(v map[string]any) { delete(v, "redis") },
		"which account":      func(v map[string]any) { delete(v, "account") },
		"REDIS":              func(v map[string]any) { v["settings"] = map[string]any{"REDIS": "x"} },
		"secret":             func(v map[string]any) { v["secret"] = map[string]any{"name": ""} },
		"serviceMonitor.tok": func(v map[string]any) { v["serviceMonitor"] = map[string]any{"enabled": true} },
		"needs tokens":       func(v map[string]any) { v["secret"] = map[string]any{"gatewayTokens": ""} },
	} {
		values := least()
		change(values)
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("said %v, want %q", err, says)
		}
	}
}
