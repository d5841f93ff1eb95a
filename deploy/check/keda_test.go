package check

import (
	"os"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"sigs.k8s.io/yaml"
)

// TestScaledObject reads the autoscaling example as its API does.
func TestScaledObject(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../keda/scaledobject.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object kedav1alpha1.ScaledObject
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatal(err)
	}
	if object.Spec.ScaleTargetRef.Name != "voucherd-worker" || len(object.Spec.Triggers) != 1 {
		t.Errorf("it scales %+v", object.Spec)
	}
}
