// Package claim decides for MachineClaims: which host one takes (choose.go, cost.go) and what is
// the next step of its life (life.go and the files beside it). It is pure: what was observed
// goes in, a decision with its reason comes out. controllers/machineclaim does the I/O.
//
// What must survive is in annotations of the claim (the host that it takes or holds, the hosts
// that failed it) and in the host's consumerRef. The status is rebuilt from these and the host;
// what a lost status costs is said where it is read: a deadline that begins anew.
package claim
