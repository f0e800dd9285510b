package metrics

import (
	"k8s.io/apimachinery/pkg/util/sets"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// reasons are those of api/v1alpha1/conditions.go, all of them: the values of the label
// reason, beside Other.
var reasons = sets.New(
	teapotv1.ReasonAddressFamily,
	teapotv1.ReasonApplyFailed,
	teapotv1.ReasonApplying,
	teapotv1.ReasonBinding,
	teapotv1.ReasonClassNotFound,
	teapotv1.ReasonCleaningFailed,
	teapotv1.ReasonClusterPaused,
	teapotv1.ReasonDeleting,
	teapotv1.ReasonDeletionBlocked,
	teapotv1.ReasonHostFailed,
	teapotv1.ReasonHostLost,
	teapotv1.ReasonHostPaused,
	teapotv1.ReasonKeysInvalid,
	teapotv1.ReasonKeysMissing,
	teapotv1.ReasonLoadBalancerHasNoIP,
	teapotv1.ReasonNamespaceTaken,
	teapotv1.ReasonNamespaceTerminating,
	teapotv1.ReasonNoHost,
	teapotv1.ReasonNoNodeAddress,
	teapotv1.ReasonNoQuorum,
	teapotv1.ReasonNotAnswering,
	teapotv1.ReasonNotPaused,
	teapotv1.ReasonOrphanRemoved,
	teapotv1.ReasonOrphaned,
	teapotv1.ReasonPaused,
	teapotv1.ReasonPodsFailing,
	teapotv1.ReasonPodsRefused,
	teapotv1.ReasonPortTaken,
	teapotv1.ReasonPoweredOff,
	teapotv1.ReasonProgressing,
	teapotv1.ReasonProvisioned,
	teapotv1.ReasonProvisioning,
	teapotv1.ReasonProvisioningFailed,
	teapotv1.ReasonReady,
	teapotv1.ReasonReconcileFailed,
	teapotv1.ReasonReleasing,
	teapotv1.ReasonRepaired,
	teapotv1.ReasonRetainedDataFound,
	teapotv1.ReasonRetainedDataMismatch,
	teapotv1.ReasonUnsupportedVersion,
	teapotv1.ReasonWaitingForAPIServer,
	teapotv1.ReasonWaitingForBootstrapData,
	teapotv1.ReasonWaitingForClaim,
	teapotv1.ReasonWaitingForCluster,
	teapotv1.ReasonWaitingForLoadBalancer,
	teapotv1.ReasonWaitingForMachine,
	teapotv1.ReasonWaitingForPods,
	teapotv1.ReasonWaitingForSecret,
	teapotv1.ReasonWaitingForService,
	teapotv1.ReasonWaitingForStorage,
)
