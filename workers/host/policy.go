package host

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Namespaces are the namespaces whose hosts the claims of one namespace may take: its own, and
// those with a HostDeployPolicy that lets it.
//
// A policy's rules are joined by "and", as in the baremetal-operator's own code for HostClaims
// (pkg/hostclaim/hostclaim_manager.go, acceptableNamespaces, v0.13.2): a rule that is not there
// asks for nothing. So nil hostClaimNamespaces let nobody in, and {} lets in everybody. nameMatches is
// a regular expression that may match any part of the name (write ^ and $ around it for all
// of it); one that cannot be read lets nobody in.
func Namespaces(policies []Policy, claims string, labels map[string]string) sets.Set[string] {
	allowed := sets.New(claims)
	for i := range policies {
		if !allowed.Has(policies[i].Namespace) && lets(&policies[i], claims, labels) {
			allowed.Insert(policies[i].Namespace)
		}
	}
	return allowed
}

func lets(policy *Policy, claims string, labels map[string]string) bool {
	rules := policy.Spec.HostClaimNamespaces
	if rules == nil {
		return false
	}
	if rules.Names != nil && !slices.Contains(rules.Names, claims) {
		return false
	}
	if rules.NameMatches != "" {
		if matches, err := regexp.MatchString(rules.NameMatches, claims); err != nil || !matches {
			return false
		}
	}
	for _, wanted := range rules.HasLabels {
		if value, ok := labels[wanted.Name]; !ok || wanted.Value != "" && value != wanted.Value {
			return false
		}
	}
	return true
}

// AskForLabels says whether any of the policies looks at the labels of namespaces.
func AskForLabels(policies []Policy) bool {
	return slices.ContainsFunc(policies, func(policy Policy) bool {
		return policy.Spec.HostClaimNamespaces != nil && len(policy.Spec.HostClaimNamespaces.HasLabels) > 0
	})
}
