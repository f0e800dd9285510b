package controlplane

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestAnIssuerIsDialledFromTheTenantsNetwork: by flags it would be dialled from the management
// cluster.
func TestAnIssuerIsDialledFromTheTenantsNetwork(t *testing.T) {
	const issuer = "https://login.acme.example"
	tests := map[string]struct {
		flags map[string]string
		want  string
	}{
		"the flags' defaults": {
			flags: map[string]string{"oidc-issuer-url": issuer, "oidc-client-id": "kubernetes"},
			want: `apiVersion: apiserver.config.k8s.io/v1
jwt:
- claimMappings:
    groups: {}
    uid: {}
    username:
      claim: sub
      prefix: https://login.acme.example#
  issuer:
    audiences:
    - kubernetes
    egressSelectorType: controlplane
    url: https://login.acme.example
kind: AuthenticationConfiguration
`,
		},
		"a name by e-mail has no prefix": {
			flags: map[string]string{"oidc-issuer-url": issuer, "oidc-client-id": "kubernetes", "oidc-username-claim": "email"},
			want:  "claim: email\n      prefix: \"\"\n",
		},
		"a prefix that is switched off": {
			flags: map[string]string{"oidc-issuer-url": issuer, "oidc-client-id": "kubernetes", "oidc-username-prefix": "-"},
			want:  "claim: sub\n      prefix: \"\"\n",
		},
		"groups and required claims": {
			flags: map[string]string{
				"oidc-issuer-url": issuer, "oidc-client-id": "kubernetes", "oidc-groups-claim": "groups", "oidc-groups-prefix": "acme:",
				"oidc-required-claim": "hd=acme.example,env=prod",
			},
			want: "  claimValidationRules:\n  - claim: hd\n    requiredValue: acme.example\n  - claim: env\n    requiredValue: prod\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := testInput(func(in *Input) {
				in.Spec.Components.APIServer.ExtraArgs = []teapotv1.ExtraArg{{Name: "event-ttl", Value: "2h"}}
				for name, value := range test.flags {
					in.Spec.Components.APIServer.ExtraArgs = append(in.Spec.Components.APIServer.ExtraArgs, teapotv1.ExtraArg{Name: name, Value: value})
				}
			})
			secrets, err := credentialSecrets(in)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			for _, secret := range secrets {
				got += string(secret.Data[authenticationFile])
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("the configuration differs (-want +got):\n%s", cmp.Diff(test.want, got))
			}

			deployment, err := Deployment(in)
			if err != nil {
				t.Fatal(err)
			}
			pod := deployment.Spec.Template.Spec
			command := pod.InitContainers[1].Command
			if i := slices.IndexFunc(command, func(arg string) bool { return strings.HasPrefix(arg, "--oidc-") }); i >= 0 {
				t.Errorf("%s is passed on", command[i])
			}
			if !slices.Contains(command, "--authentication-config=/etc/kubernetes/pki/authentication.yaml") || !slices.Contains(command, "--event-ttl=2h") {
				t.Errorf("the command is %q", command)
			}
			for _, volume := range pod.Volumes {
				mounted := false
				for _, item := range volume.Secret.Items {
					mounted = mounted || item.Key == authenticationFile
				}
				if mounted != (volume.Name == ContainerAPIServer) {
					t.Errorf("volume %s has the configuration: %v", volume.Name, mounted)
				}
			}
		})
	}
}
