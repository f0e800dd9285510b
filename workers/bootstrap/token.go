package bootstrap

import (
	"fmt"

	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
)

// TokenSecretName is the name of the Secret, in the namespace kube-system of the tenant's cluster,
// that makes a bootstrap token valid. The token itself is not in the error, since it is a secret.
func TokenSecretName(token string) (string, error) {
	parts := bootstraputil.BootstrapTokenRegexp.FindStringSubmatch(token)
	if len(parts) != 3 {
		return "", fmt.Errorf("the bootstrap token is not of the form %q", bootstrapapi.BootstrapTokenPattern)
	}
	return bootstraputil.BootstrapTokenSecretName(parts[1]), nil
}
