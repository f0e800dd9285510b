package control

import (
	"fmt"
	"io"
	"strconv"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

const (
	// RackLabel is on a host and says in which rack it is.
	RackLabel = "machineroom.teapot.dev/rack"
	// ClassLabel is on a host and says what kind of machine it is.
	ClassLabel = "machineroom.teapot.dev/class"
	// What an operator of hosts writes for Teapot, as its documentation says: where a host is,
	// by Metal3's label, and its accelerators, which inspection does not report.
	failureDomainLabel = "infrastructure.cluster.x-k8s.io/failure-domain"
	gpuCountLabel      = "gpu.teapot.dev/count"
	gpuModelLabel      = "gpu.teapot.dev/model"
	// zones are as many failure domains as machines are spread over, one after the other.
	zones = 3
	// rackSize is how many machines a rack has.
	rackSize = 32
)

// Host returns the BareMetalHost of a machine, and the Secret for its management controller.
func Host(namespace string, m Machine) (*metal3.BareMetalHost, *corev1.Secret) {
	index := room.IndexOf(m.Name)
	zone := "zone-" + string(rune('a'+index%zones))
	labels := map[string]string{
		failureDomainLabel: zone, corev1.LabelTopologyZone: zone,
		RackLabel: fmt.Sprintf("rack-%d", index%zones+zones*(index/(zones*rackSize))), ClassLabel: m.Hardware.Class,
	}
	if gpus := m.Hardware.GPUs; len(gpus) > 0 {
		labels[gpuCountLabel], labels[gpuModelLabel] = strconv.Itoa(len(gpus)), gpus[0].Model
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: m.Name + "-bmc"},
		StringData: map[string]string{"username": m.BMC.User, "password": m.BMC.Password},
	}
	host := &metal3.BareMetalHost{
		TypeMeta:   metav1.TypeMeta{APIVersion: metal3.GroupVersion.String(), Kind: "BareMetalHost"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: m.Name, Labels: labels},
		Spec: metal3.BareMetalHostSpec{
			BMC:                   metal3.BMCDetails{Address: m.BMC.Address, CredentialsName: secret.Name, DisableCertificateVerification: true},
			BootMACAddress:        m.MAC,
			AutomatedCleaningMode: metal3.CleaningModeMetadata,
			Online:                false,
		},
	}
	return host, secret
}

// WriteHosts writes the manifests of all machines but folders, for kubectl apply.
func WriteHosts(w io.Writer, namespace string, machines []Machine) error {
	for _, m := range machines {
		if room.IndexOf(m.Name) >= room.FirstFolder {
			continue
		}
		host, secret := Host(namespace, m)
		for _, object := range []any{secret, host} {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
			if err != nil {
				return fmt.Errorf("encoding the host of %s: %w", m.Name, err)
			}
			// The type writes it although there is none.
			delete(fields, "status")
			data, err := yaml.Marshal(fields)
			if err != nil {
				return fmt.Errorf("encoding the host of %s: %w", m.Name, err)
			}
			if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
				return err
			}
		}
	}
	return nil
}
