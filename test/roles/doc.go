// Package roles proves who may do what: with the chart's roles and admission policies applied
// to a real kube-apiserver, requests are made as users who hold one role each.
//
// access_test.go asks what the roles grant. crossing_test.go tries every field that reaches
// across the tenant boundary, on both kinds, as a tenant and as an operator.
// identities_test.go is about the manager and Cluster API's controllers, machines_test.go and
// attacks_test.go about machines and hosts, pools_test.go about pools and what Cluster API has of
// them, gateway_test.go about the gateway and hibernation, policy_test.go about the policies and roles
// themselves, examples_test.go about the manifests in examples/.
package roles
