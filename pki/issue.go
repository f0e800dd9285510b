package pki

import (
	"fmt"
	"time"

	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"
)

// Why says why a certificate was issued anew; the zero value: it was kept.
type Why struct {
	Reason  Reason
	Message string
}

// Ensure returns existing if nothing speaks against it (see MustIssue), or else a new
// pair of certificate and key and why it was made.
//
// A new certificate is valid for a year from now, kubeadm's default, but not longer than
// its authority. Ensure fails if the authority is unknown, unreadable or expired.
func (a Authorities) Ensure(leaf Leaf, existing KeyPair, now time.Time) (KeyPair, Why, error) {
	pair := a.byName(leaf.Signer)
	if pair == nil {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: there is no authority %q", leaf.Name, leaf.Signer)
	}
	authority, err := parseCertificate(pair.Cert)
	if err != nil {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: read authority %s: %w", leaf.Name, leaf.Signer, err)
	}
	reason, message, failed := MustIssue.Evaluate(newInput(leaf, authority, existing, now))
	if !failed {
		return existing, Why{}, nil
	}

	if now.After(authority.NotAfter) {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: its authority %s expired on %s", leaf.Name, leaf.Signer, stamp(authority.NotAfter))
	}
	authorityKey, err := parseKey(pair.Key)
	if err != nil {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: read key of authority %s: %w", leaf.Name, leaf.Signer, err)
	}
	config := leaf.config()
	config.NotBefore = notBefore(now)
	config.NotAfter = now.Add(kubeadmconstants.CertificateValidityPeriod).UTC()
	if config.NotAfter.After(authority.NotAfter) {
		config.NotAfter = authority.NotAfter
	}
	cert, key, err := pkiutil.NewCertAndKey(authority, authorityKey, config)
	if err != nil {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: issue: %w", leaf.Name, err)
	}
	issued, err := encode(cert, key)
	if err != nil {
		return KeyPair{}, Why{}, fmt.Errorf("certificate %s: encode: %w", leaf.Name, err)
	}
	return issued, Why{Reason: reason, Message: message}, nil
}
