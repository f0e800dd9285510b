package host

import (
	"slices"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// keptAnnotations are those that Of reads.
var keptAnnotations = []string{
	metal3v1.PausedAnnotation, metal3v1.DetachedAnnotation, UnhealthyAnnotation, teapotv1.CleaningModeAnnotation,
	teapotv1.UncleanedForAnnotation, teapotv1.CostAnnotation,
}

// Transform is for the manager's cache of hosts, of which there may be ten thousand. It keeps
// what Of and Addresses read. What it leaves must not be written back: changes are made to a
// live read.
func Transform(in any) (any, error) {
	full, ok := in.(*Object)
	if !ok {
		return in, nil // a tombstone
	}
	kept := &Object{ObjectMeta: metav1.ObjectMeta{
		Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion,
		DeletionTimestamp: full.DeletionTimestamp, Labels: full.Labels,
	}}
	for _, name := range keptAnnotations {
		if value, ok := full.Annotations[name]; ok {
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, name, value)
		}
	}
	kept.Spec = metal3v1.BareMetalHostSpec{
		Online: full.Spec.Online, ConsumerRef: full.Spec.ConsumerRef, Image: full.Spec.Image,
		CustomDeploy: full.Spec.CustomDeploy, UserData: full.Spec.UserData, MetaData: full.Spec.MetaData,
		NetworkData: full.Spec.NetworkData, ExternallyProvisioned: full.Spec.ExternallyProvisioned,
		AutomatedCleaningMode: full.Spec.AutomatedCleaningMode, DisablePowerOff: full.Spec.DisablePowerOff,
	}
	kept.Status = metal3v1.BareMetalHostStatus{
		OperationalStatus: full.Status.OperationalStatus, ErrorType: full.Status.ErrorType,
		ErrorMessage: full.Status.ErrorMessage, PoweredOn: full.Status.PoweredOn,
		HardwareDetails: trimDetails(full.Status.HardwareDetails),
	}
	kept.Status.Provisioning.State = full.Status.Provisioning.State
	kept.Status.Provisioning.Image.URL = full.Status.Provisioning.Image.URL
	kept.Status.OperationHistory.Provision.Start = full.Status.OperationHistory.Provision.Start
	return kept, nil
}

func trimDetails(full *metal3v1.HardwareDetails) *metal3v1.HardwareDetails {
	if full == nil {
		return nil
	}
	kept := &metal3v1.HardwareDetails{
		RAMMebibytes: full.RAMMebibytes, Hostname: full.Hostname,
		NIC:     slices.Clone(full.NIC),
		Storage: slices.Clone(full.Storage),
	}
	kept.CPU.Arch, kept.CPU.Count = full.CPU.Arch, full.CPU.Count
	for i, nic := range kept.NIC {
		kept.NIC[i] = metal3v1.NIC{Name: nic.Name, MAC: nic.MAC, IP: nic.IP, SpeedGbps: nic.SpeedGbps}
	}
	for i, disk := range kept.Storage {
		kept.Storage[i] = metal3v1.Storage{Rotational: disk.Rotational, Type: disk.Type, SizeBytes: disk.SizeBytes}
	}
	return kept
}
