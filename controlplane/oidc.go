package controlplane

import (
	"cmp"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// oidcPrefix begins the flags that describe an OpenID Connect issuer. kube-apiserver dials the
// issuer of these flags directly, past the egress selector; one of a configuration file it dials
// as the file says (pkg/kubeapiserver/options/authentication.go and
// staging/src/k8s.io/apiserver/plugin/pkg/authenticator/token/oidc/oidc.go, v1.36.3). So the
// flags are never passed on: they become such a file, with the same meaning.
const oidcPrefix = "oidc-"

// authenticationFile is the configuration, in the pods' Secret.
const authenticationFile = "authentication.yaml"

// withoutOIDC are the flags that are passed on.
func withoutOIDC(args []teapotv1.ExtraArg) []teapotv1.ExtraArg {
	var rest []teapotv1.ExtraArg
	for _, arg := range args {
		if !strings.HasPrefix(arg.Name, oidcPrefix) {
			rest = append(rest, arg)
		}
	}
	return rest
}

// authenticationConfiguration is the API server's configuration of an OpenID Connect issuer, or
// nil if the spec names none. Defaults are those of the flags:
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#configuring-the-api-server
func authenticationConfiguration(in Input) ([]byte, error) {
	flags := map[string]string{}
	for _, arg := range in.Spec.Components.APIServer.ExtraArgs {
		if name, found := strings.CutPrefix(arg.Name, oidcPrefix); found {
			flags[name] = arg.Value
		}
	}
	if len(flags) == 0 {
		return nil, nil
	}
	claim := cmp.Or(flags["username-claim"], "sub")
	prefix := flags["username-prefix"]
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && claim != "email":
		prefix = flags["issuer-url"] + "#"
	}
	issuer := apiserverv1.JWTAuthenticator{
		Issuer: apiserverv1.Issuer{
			URL: flags["issuer-url"], Audiences: []string{flags["client-id"]},
			// By konnectivity, from the tenant's own network.
			EgressSelectorType: apiserverv1.EgressSelectorControlPlane,
		},
		ClaimMappings: apiserverv1.ClaimMappings{
			Username: apiserverv1.PrefixedClaimOrExpression{Claim: claim, Prefix: ptr.To(prefix)},
		},
	}
	if groups := flags["groups-claim"]; groups != "" {
		issuer.ClaimMappings.Groups = apiserverv1.PrefixedClaimOrExpression{Claim: groups, Prefix: ptr.To(flags["groups-prefix"])}
	}
	for _, pair := range strings.Split(flags["required-claim"], ",") {
		if claim, value, found := strings.Cut(pair, "="); found {
			issuer.ClaimValidationRules = append(issuer.ClaimValidationRules, apiserverv1.ClaimValidationRule{Claim: claim, RequiredValue: value})
		}
	}
	encoded, err := yaml.Marshal(apiserverv1.AuthenticationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AuthenticationConfiguration"},
		JWT:      []apiserverv1.JWTAuthenticator{issuer},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the authentication configuration of control plane %s: %w", in.Owner, err)
	}
	return encoded, nil
}

// usesOIDC says whether the spec names an issuer.
func usesOIDC(in Input) bool {
	args := in.Spec.Components.APIServer.ExtraArgs
	return len(withoutOIDC(args)) < len(args)
}
