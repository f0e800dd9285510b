package validation

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The machines' kinds, for tests of single ones.
var (
	claimKind           = kind{name: "MachineClaim", resource: "machineclaims"}
	machineKind         = kind{name: "HostMachine", resource: "hostmachines"}
	machineTemplateKind = kind{name: "HostMachineTemplate", resource: "hostmachinetemplates"}
	clusterKind         = kind{name: "TenantCluster", resource: "tenantclusters"}
	clusterTemplateKind = kind{name: "TenantClusterTemplate", resource: "tenantclustertemplates"}
)

func TestDefaultsOfMachines(t *testing.T) {
	const requested = image + ", automatedCleaningMode: metadata, provisioningTimeout: 1h"
	for i, tt := range []struct {
		kind       kind
		spec, want string
	}{
		{claimKind, minimalRequest, "{" + requested + ", poweredOn: true}"},
		{claimKind, request("automatedCleaningMode: null, provisioningTimeout: null, poweredOn: null"), "{" + requested + ", poweredOn: true}"},
		{machineKind, minimalRequest, "{" + requested + "}"},
		{machineTemplateKind, inTemplate(minimalRequest), inTemplate("{" + requested + "}")},
		{clusterKind, "{}", "{}"},
		{clusterTemplateKind, inTemplate("{}"), inTemplate("{}")},
	} {
		created := create(t, objectsOf(t, tt.kind.resource), tt.kind.object(t, fmt.Sprintf("defaults-%d", i), tt.spec))
		if diff := gocmp.Diff(parse(t, tt.want), created.Object["spec"]); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.kind.name, tt.spec, diff)
		}
	}
}

// TestUnknownFieldsOfMachinesAreRefused: what names a management controller or a way of booting,
// and what is misspelt.
func TestUnknownFieldsOfMachinesAreRefused(t *testing.T) {
	for i, tt := range []struct {
		kind       kind
		spec, want string
	}{
		{claimKind, request("bmc: {address: 'redfish://192.0.2.1'}"), `unknown field "spec.bmc"`},
		{claimKind, request("host: {name: a}"), `unknown field "spec.host"`},
		{claimKind, request("userData: {name: a, namespace: kube-system}"), `unknown field "spec.userData.namespace"`},
		{claimKind, imageOf("url: 'oci://a/b', authSecretName: c"), `unknown field "spec.image.authSecretName"`},
		{claimKind, inRequest("hostSelector.inNamespace", "metal"), `unknown field "spec.hostSelector.inNamespace"`},
		{claimKind, inRequest("hardware.ram", "64Gi"), `unknown field "spec.hardware.ram"`},
		{machineKind, request("poweredOn: true"), `unknown field "spec.poweredOn"`},
		{machineKind, request("userData: {name: a}"), `unknown field "spec.userData"`},
		{machineTemplateKind, inTemplate(request("providerID: 'teapot://a'")), `unknown field "spec.template.spec.providerID"`},
		{clusterKind, "{failureDomains: []}", `unknown field "spec.failureDomains"`},
		{clusterTemplateKind, inTemplate("{controlPlaneEndpoint: {host: a, port: 1}}"), `unknown field "spec.template.spec.controlPlaneEndpoint"`},
	} {
		_, err := objectsOf(t, tt.kind.resource).Create(t.Context(), tt.kind.object(t, fmt.Sprintf("unknown-%d", i), tt.spec), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestGoodStatusOfMachinesIsKept: nothing that a controller writes is pruned.
func TestGoodStatusOfMachinesIsKept(t *testing.T) {
	const (
		conditions = `conditions: [{type: Ready, status: "True", reason: Provisioned, message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1}]`
		host       = `host: {namespace: metal, name: a}, failureDomain: rack-1, addresses: [{type: Hostname, address: a}, {type: InternalIP, address: "2001:db8::1"}]`
	)
	for _, tt := range []struct {
		kind         kind
		spec, status string
	}{
		{claimKind, minimalRequest, `{observedGeneration: 1, phase: Provisioned, phaseSince: "2026-01-02T03:04:05Z", hostState: provisioned, poweredOn: true,
			hardware: {cpus: 64, architecture: x86_64, memory: 512Gi, disks: 2, nics: 2, gpus: 8, gpuModel: H100}, ` + host + ", " + conditions + "}"},
		{machineKind, minimalRequest, "{observedGeneration: 1, initialization: {provisioned: true}, " + host + ", " + conditions + "}"},
		{machineTemplateKind, inTemplate(minimalRequest), "{capacity: {cpu: 64, memory: 512Gi, ephemeral-storage: 480G}, nodeInfo: {architecture: arm64, operatingSystem: linux}}"},
		{clusterKind, "{}", "{observedGeneration: 1, initialization: {provisioned: true}, failureDomains: [{name: rack-1, controlPlane: false, attributes: {hosts: '3'}}], " + conditions + "}"},
	} {
		objects := objectsOf(t, tt.kind.resource)
		object := create(t, objects, tt.kind.object(t, "observed", tt.spec))
		want := parse(t, tt.status)
		object.Object["status"] = want
		got, err := objects.UpdateStatus(t.Context(), object, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err != nil {
			t.Errorf("%s: %v", tt.kind.name, err)
			continue
		}
		if diff := gocmp.Diff(want, got.Object["status"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.kind.name, diff)
		}
	}
}
