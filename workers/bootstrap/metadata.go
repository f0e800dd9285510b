package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// providerIDScheme begins every provider id; design, section 6.
	providerIDScheme = "teapot://"

	// MetaDataKey is the key of the meta data in its Secret, which Metal3 prescribes
	// (BareMetalHost.spec.metaData).
	MetaDataKey = "metaData"

	// metaDataSuffix ends the name of a machine's meta data Secret. The Secret with the machine's
	// own name is Cluster API's, with the user data.
	metaDataSuffix = "-metadata"
	// maxName is the longest name of a Secret
	// (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names).
	maxName = 253
)

// ProviderID is the provider id of the machine with an id.
func ProviderID(id string) string { return providerIDScheme + id }

// Machine is what identifies a machine.
type Machine struct {
	// Name is the Machine's, which its Node gets, too.
	Name string
	// ProviderID is what its Node gets as spec.providerID.
	ProviderID string
}

// MetaData is what cloud-init is given about the machine, as YAML. A user data template reads
// it as ds.meta_data.<key> (https://docs.cloud-init.io/en/latest/explanation/instancedata.html).
//
// The provisioner begins with meta data of its own, of the host's name and UID, and ours goes over
// it (getConfigDrive in pkg/provisioner/ironic/ironic.go of baremetal-operator v0.13.2): so each
// way of saying a machine's name is here, or a template would read the host's. cloud-init takes
// the instance id of a config drive from uuid and the host name from hostname
// (cloudinit/sources/helpers/openstack.py).
func MetaData(m Machine) ([]byte, error) {
	instance := strings.TrimPrefix(m.ProviderID, providerIDScheme)
	data, err := yaml.Marshal(map[string]string{
		"provider_id":    m.ProviderID,
		"uuid":           instance,
		"instance-id":    instance,
		"hostname":       m.Name,
		"local-hostname": m.Name,
		"local_hostname": m.Name,
		"name":           m.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the meta data of machine %s: %w", m.Name, err)
	}
	return data, nil
}

// MetaDataSecretName is the name of the Secret with the meta data of a HostMachine.
func MetaDataSecretName(hostMachine string) string {
	if len(hostMachine)+len(metaDataSuffix) <= maxName {
		return hostMachine + metaDataSuffix
	}
	sum := sha256.Sum256([]byte(hostMachine))
	hash := "-" + hex.EncodeToString(sum[:5])
	kept := strings.TrimRight(hostMachine[:maxName-len(hash)-len(metaDataSuffix)], ".-")
	return kept + hash + metaDataSuffix
}
