package controlplane

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/konnectivity"
)

const chartFiles = "../charts/teapot/files"

// TestTenantExtraArgsAreTheAdmissionPolicys: the chart cannot read Go.
func TestTenantExtraArgsAreTheAdmissionPolicys(t *testing.T) {
	encoded, err := yaml.Marshal(TenantExtraArgs)
	if err != nil {
		t.Fatal(err)
	}
	header := "# Flags of each component that a tenant may set without the verb override: generated from\n" +
		"# controlplane.TenantExtraArgs by `go test ./controlplane -update`.\n"
	golden(t, filepath.Join(chartFiles, "tenant-extra-args.yaml"), append([]byte(header), encoded...))
}

// TestTeapotsOwnFlagsCannotBeSet: a flag given twice would mean whichever comes last.
func TestTeapotsOwnFlagsCannotBeSet(t *testing.T) {
	var crd apiextensionsv1.CustomResourceDefinition
	file, err := os.ReadFile(filepath.Join(chartFiles, "crds", "teapot.dev_tenantcontrolplanes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(file, &crd); err != nil {
		t.Fatal(err)
	}
	refusals := map[string]string{}
	components := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["components"]
	for _, rule := range components.XValidations {
		if strings.HasPrefix(rule.Message, "must not name a flag that Teapot sets") {
			refusals[rule.FieldPath] = rule.Rule
		}
	}

	in := testInput(func(in *Input) { in.Spec.Datastore.Etcd.Members = 1 })
	deployment, err := Deployment(in)
	if err != nil {
		t.Fatal(err)
	}
	statefulSet, err := StatefulSet(in)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{
		ContainerAPIServer: "apiServer", ContainerControllerManager: "controllerManager", ContainerScheduler: "scheduler",
		ContainerEtcd: "etcd", ContainerKonnectivityServer: "konnectivityServer",
	}
	containers := slices.Concat(deployment.Spec.Template.Spec.InitContainers, deployment.Spec.Template.Spec.Containers, statefulSet.Spec.Template.Spec.Containers)
	if len(containers) != len(fields) {
		t.Fatalf("there are %d containers, want one for each of %v", len(containers), fields)
	}
	for _, container := range containers {
		field := fields[container.Name]
		refused := refusals["."+field+".extraArgs"]
		for _, arg := range container.Command[1:] {
			name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if !strings.Contains(refused, "'"+name+"'") {
				t.Errorf("spec.components.%s.extraArgs accepts %s, which Teapot sets; add it to the rule", field, name)
			}
		}
		for _, name := range TenantExtraArgs[field] {
			if strings.Contains(refused, "'"+name+"'") {
				t.Errorf("a tenant may set %s of %s, and the schema refuses it", name, field)
			}
		}
	}
}

func TestExtraArgsComeLastAndMeanWhatTheySay(t *testing.T) {
	args := []teapotv1.ExtraArg{{Name: "event-ttl", Value: "2h"}, {Name: "tls-cipher-suites", Value: "$(POD_NAME)-"}}
	in := testInput(func(in *Input) {
		for _, component := range []*teapotv1.ComponentSpec{
			&in.Spec.Components.APIServer, &in.Spec.Components.ControllerManager, &in.Spec.Components.Scheduler,
			&in.Spec.Components.Etcd, &in.Spec.Components.KonnectivityServer,
		} {
			component.ExtraArgs = args
		}
	})
	deployment, err := Deployment(in)
	if err != nil {
		t.Fatal(err)
	}
	statefulSet, err := StatefulSet(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--event-ttl=2h", "--tls-cipher-suites=$$(POD_NAME)-"}
	for _, container := range slices.Concat(deployment.Spec.Template.Spec.InitContainers, deployment.Spec.Template.Spec.Containers, statefulSet.Spec.Template.Spec.Containers) {
		if got := container.Command[len(container.Command)-2:]; !slices.Equal(got, want) {
			t.Errorf("the command of %s ends with %q, want %q", container.Name, got, want)
		}
	}
	if !slices.Contains(deployment.Spec.Template.Spec.InitContainers[0].Command, konnectivity.ServerCommand) {
		t.Errorf("the program of konnectivity-server is lost: %q", deployment.Spec.Template.Spec.InitContainers[0].Command)
	}
}

func TestScheduling(t *testing.T) {
	in := testInput(func(in *Input) {
		in.Spec.Scheduling = teapotv1.SchedulingSpec{
			NodeSelector:      map[string]teapotv1.LabelValue{"example.com/tenants": "true"},
			Tolerations:       []teapotv1.Toleration{{Key: "example.com/tenants", Operator: corev1.TolerationOpEqual, Value: "true", Effect: corev1.TaintEffectNoSchedule}},
			TopologyKeys:      []string{corev1.LabelTopologyZone, corev1.LabelHostname},
			PriorityClassName: "tenants",
		}
	})
	deployment, err := Deployment(in)
	if err != nil {
		t.Fatal(err)
	}
	statefulSet, err := StatefulSet(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range map[string]corev1.PodSpec{ControlPlaneName: deployment.Spec.Template.Spec, EtcdName: statefulSet.Spec.Template.Spec} {
		if pod.NodeSelector["example.com/tenants"] != "true" || pod.PriorityClassName != "tenants" ||
			len(pod.Tolerations) != 1 || pod.Tolerations[0].Value != "true" {
			t.Errorf("the pods of %s are scheduled by %v, %v and %q", name, pod.NodeSelector, pod.Tolerations, pod.PriorityClassName)
		}
		var keys []string
		for _, constraint := range pod.TopologySpreadConstraints {
			keys = append(keys, constraint.TopologyKey)
			if constraint.WhenUnsatisfiable != corev1.ScheduleAnyway {
				t.Errorf("the pods of %s wait for nodes that may not exist: %v", name, constraint)
			}
		}
		if !slices.Equal(keys, in.Spec.Scheduling.TopologyKeys) {
			t.Errorf("the pods of %s are spread over %v", name, keys)
		}
	}
}
