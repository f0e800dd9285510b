package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/lru"
)

// Reason says in one word why a certificate must be issued anew; empty: it need not.
type Reason string

// Reasons to issue a certificate anew, in the order in which they are looked for.
const (
	ReasonMissing        Reason = "Missing"
	ReasonUnreadable     Reason = "Unreadable"
	ReasonKeyMismatch    Reason = "KeyMismatch"
	ReasonOtherAuthority Reason = "OtherAuthority"
	ReasonSubjectDiffers Reason = "SubjectDiffers"
	ReasonUsagesDiffer   Reason = "UsagesDiffer"
	ReasonNamesDiffer    Reason = "NamesDiffer"
	ReasonNotYetValid    Reason = "NotYetValid"
	ReasonExpired        Reason = "Expired"
	ReasonRenewalDue     Reason = "RenewalDue"
)

// Input is what a Policy looks at.
type Input struct {
	// Leaf is what the certificate should be.
	Leaf Leaf
	// Authority is the certificate of the authority that should have signed it.
	Authority *x509.Certificate
	// Pair is what there is.
	Pair KeyPair
	// Cert and Key are Pair, read; both nil if it cannot be, and then Unreadable says why.
	Cert       *x509.Certificate
	Key        crypto.Signer
	Unreadable error
	// Now is the time.
	Now time.Time
}

// newInput reads the pair, so that each policy need not.
func newInput(leaf Leaf, authority *x509.Certificate, pair KeyPair, now time.Time) Input {
	in := Input{Leaf: leaf, Authority: authority, Pair: pair, Now: now}
	cert, err := parseCertificate(pair.Cert)
	if err != nil {
		in.Unreadable = fmt.Errorf("certificate: %w", err)
		return in
	}
	key, err := parseKey(pair.Key)
	if err != nil {
		in.Unreadable = fmt.Errorf("key: %w", err)
		return in
	}
	in.Cert, in.Key = cert, key
	return in
}

// Policy is one ground for issuing a certificate anew. failed says that it must be, and
// then reason and message say why.
type Policy func(in Input) (reason Reason, message string, failed bool)

// Chain is policies in the order in which they are asked; a later one may rely on what
// an earlier one has ruled out.
type Chain []Policy

// Evaluate returns the first policy that failed.
func (c Chain) Evaluate(in Input) (Reason, string, bool) {
	for _, policy := range c {
		if reason, message, failed := policy(in); failed {
			return reason, message, true
		}
	}
	return "", "", false
}

// MustIssue is the chain that decides whether a leaf is issued anew.
var MustIssue = Chain{
	missing,
	unreadable,
	keyMismatch,
	otherAuthority,
	subjectDiffers,
	usagesDiffer,
	namesDiffer,
	notYetValid,
	expired,
	renewalDue,
}

func missing(in Input) (Reason, string, bool) {
	switch {
	case len(in.Pair.Cert) == 0:
		return ReasonMissing, "there is no certificate", true
	case len(in.Pair.Key) == 0:
		return ReasonMissing, "there is no key", true
	}
	return "", "", false
}

func unreadable(in Input) (Reason, string, bool) {
	if in.Unreadable == nil {
		return "", "", false
	}
	return ReasonUnreadable, in.Unreadable.Error(), true
}

func keyMismatch(in Input) (Reason, string, bool) {
	if samePublicKey(in.Cert.PublicKey, in.Key.Public()) {
		return "", "", false
	}
	return ReasonKeyMismatch, "the key does not belong to the certificate", true
}

// signatures remembers which certificates were found to be signed by which authority: checking
// one takes most of the time of a look at a control plane that has not changed. An entry takes
// about 200 bytes; a control plane has thirteen.
var signatures = lru.New(1 << 15)

func signedBy(cert, authority *x509.Certificate) bool {
	key := sha256.Sum256(slices.Concat(cert.Raw, authority.Raw))
	if _, known := signatures.Get(key); known {
		return true
	}
	if cert.CheckSignatureFrom(authority) != nil {
		return false
	}
	signatures.Add(key, nil)
	return true
}

func otherAuthority(in Input) (Reason, string, bool) {
	if signedBy(in.Cert, in.Authority) {
		return "", "", false
	}
	return ReasonOtherAuthority, fmt.Sprintf("it is not signed by the present authority %s", in.Leaf.Signer), true
}

func subjectDiffers(in Input) (Reason, string, bool) {
	subject := in.Cert.Subject
	if subject.CommonName == in.Leaf.CommonName && sets.New(subject.Organization...).Equal(sets.New(in.Leaf.Organizations...)) {
		return "", "", false
	}
	return ReasonSubjectDiffers, fmt.Sprintf("it is for %q in %q, wanted is %q in %q",
		subject.CommonName, subject.Organization, in.Leaf.CommonName, in.Leaf.Organizations), true
}

func usagesDiffer(in Input) (Reason, string, bool) {
	if sets.New(in.Cert.ExtKeyUsage...).Equal(sets.New(in.Leaf.Usages...)) {
		return "", "", false
	}
	return ReasonUsagesDiffer, "it is not for the same usages", true
}

func namesDiffer(in Input) (Reason, string, bool) {
	has := sanSet(in.Cert.DNSNames, in.Cert.IPAddresses)
	want := sanSet(in.Leaf.SANs.DNSNames, in.Leaf.SANs.IPs)
	if has.Equal(want) {
		return "", "", false
	}
	return ReasonNamesDiffer, fmt.Sprintf("it lacks the names %q and has %q too many",
		sets.List(want.Difference(has)), sets.List(has.Difference(want))), true
}

func notYetValid(in Input) (Reason, string, bool) {
	if !in.Now.Before(in.Cert.NotBefore) {
		return "", "", false
	}
	return ReasonNotYetValid, fmt.Sprintf("it is valid only from %s", stamp(in.Cert.NotBefore)), true
}

func expired(in Input) (Reason, string, bool) {
	if !in.Now.After(in.Cert.NotAfter) {
		return "", "", false
	}
	return ReasonExpired, fmt.Sprintf("it expired on %s", stamp(in.Cert.NotAfter)), true
}

// renewalDue fails at two thirds of a certificate's life. One that ends together with
// its authority is left alone: a new one could not live longer, and would be renewed
// ever more often as the authority nears its end.
func renewalDue(in Input) (Reason, string, bool) {
	if in.Now.Before(renewalTime(in.Cert)) || !in.Cert.NotAfter.Before(in.Authority.NotAfter) {
		return "", "", false
	}
	return ReasonRenewalDue, fmt.Sprintf("two thirds of its life are over: it expires on %s", stamp(in.Cert.NotAfter)), true
}

func renewalTime(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}

// RenewalTime returns when a certificate in PEM is due for renewal: at two thirds of its
// life. It does not look at the authority (see MustIssue), so a certificate that ends
// together with its authority is left alone even after this time.
func RenewalTime(certPEM []byte) (time.Time, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return time.Time{}, fmt.Errorf("read certificate: %w", err)
	}
	return renewalTime(cert), nil
}

func sanSet(dnsNames []string, ips []net.IP) sets.Set[string] {
	set := sets.New(dnsNames...)
	for _, ip := range ips {
		set.Insert(ip.String())
	}
	return set
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
