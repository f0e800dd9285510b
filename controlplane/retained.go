package controlplane

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// retainedSpec is what of a spec the data of a control plane depends on.
type retainedSpec struct {
	Version string               `json:"version"`
	Network teapotv1.NetworkSpec `json:"network"`
	Members int32                `json:"etcdMembers"`
}

// EncodeRetained notes what of the spec the data depends on, for whoever adopts it.
func EncodeRetained(in Input) (string, error) {
	encoded, err := json.Marshal(retainedSpec{
		Version: in.Spec.Version, Network: in.Spec.Network, Members: Size(in.Spec).EtcdMembers,
	})
	if err != nil {
		return "", fmt.Errorf("encoding the spec of control plane %s: %w", in.Owner, err)
	}
	return string(encoded), nil
}

// CanAdopt returns why the input's spec cannot run on the data that was retained with what
// EncodeRetained noted, or nil if it can. The error names the field and the remedy.
func CanAdopt(in Input, encoded string) error {
	var was retainedSpec
	if err := json.Unmarshal([]byte(encoded), &was); err != nil {
		return fmt.Errorf("annotation %s of the namespace cannot be read: %w; restore it, or delete the namespace to give the data up", teapotv1.RetainedSpecAnnotation, err)
	}
	wanted, err := version.ParseSemantic(in.Spec.Version)
	if err != nil {
		return fmt.Errorf("spec.version: %w", err)
	}
	had, err := version.ParseSemantic(was.Version)
	if err != nil {
		return fmt.Errorf("annotation %s: version: %w", teapotv1.RetainedSpecAnnotation, err)
	}
	switch members := Size(in.Spec).EtcdMembers; {
	case in.Spec.Network != was.Network:
		return fmt.Errorf("spec.network differs from that of the retained data; make it serviceCIDR %s, podCIDR %s, dnsDomain %s", was.Network.ServiceCIDR, was.Network.PodCIDR, was.Network.DNSDomain)
	case members != was.Members:
		return fmt.Errorf("spec.datastore.etcd.members is %d and the retained data has %d; make it %d", members, was.Members, was.Members)
	case wanted.Minor() != had.Minor() && wanted.Minor() != had.Minor()+1:
		return fmt.Errorf("spec.version is %s and the retained data was written by %s; ask for the same minor version or the next", in.Spec.Version, was.Version)
	default:
		return nil
	}
}
