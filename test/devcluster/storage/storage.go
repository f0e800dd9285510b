//go:build linux

// Package storage provisions volumes for the development cluster. Each is a
// directory of the host, handed out as a PersistentVolume of type local:
// unlike hostPath, kubelet applies fsGroup to those.
package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// ProvisionerName is the provisioner of the default StorageClass.
const ProvisionerName = "teapot.dev/devcluster-local"

// provisioner makes and removes directories.
type provisioner struct {
	// root holds one directory per volume, named after the PersistentVolume.
	root string
}

// Run serves claims until ctx ends.
func Run(ctx context.Context, config *rest.Config, root string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctrl := controller.NewProvisionController(ctx, client, ProvisionerName, &provisioner{root: root},
		// There is one provisioner, on one node.
		controller.LeaderElection(false),
		// The deletion of a directory is part of the deletion of its volume.
		controller.AddFinalizer(true),
		controller.Threadiness(8),
		controller.CreateProvisionedPVInterval(500*time.Millisecond),
		controller.RetryIntervalMax(5*time.Second),
		// The default, 0, means that failures are retried for ever.
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
	)
	ctrl.Run(ctx)
	return nil
}

// Provision makes the volume's directory. Only filesystem volumes exist here.
func (p *provisioner) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, errors.New("no node was selected: the StorageClass must say WaitForFirstConsumer")
	}
	if mode := o.PVC.Spec.VolumeMode; mode != nil && *mode == corev1.PersistentVolumeBlock {
		return nil, controller.ProvisioningFinished, errors.New("raw block volumes are not served")
	}
	path := filepath.Join(p.root, o.PVName)
	// Kubelet changes owner and mode where the pod has an fsGroup. Without one
	// the pod's user must be able to write all the same, hence the mode; the
	// parent directory keeps other users of the host out.
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making the volume: %w", err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making the volume: %w", err)
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   o.PVC.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			StorageClassName:              o.StorageClass.Name,
			MountOptions:                  o.StorageClass.MountOptions,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: path},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{o.SelectedNodeName},
					}},
				}},
			}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the volume's directory. It touches nothing but the directory
// that Provision made for a volume of that name.
func (p *provisioner) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	path := filepath.Join(p.root, pv.Name)
	if pv.Spec.Local == nil || pv.Spec.Local.Path != path {
		return &controller.IgnoredError{Reason: "the volume's path is not one of this provisioner's"}
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing the volume: %w", err)
	}
	return nil
}
