package pki

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnsureIssuesVerifiableCertificates(t *testing.T) {
	authorities := newAuthorities(t)
	leaves, err := Leaves(names())
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		t.Run(leaf.Name, func(t *testing.T) {
			pair, why, err := authorities.Ensure(leaf, KeyPair{}, start)
			if err != nil {
				t.Fatal(err)
			}
			if why.Reason != ReasonMissing {
				t.Errorf("was issued because of %+v", why)
			}
			cert, err := parseCertificate(pair.Cert)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(authorities.byName(leaf.Signer).Cert)
			for _, usage := range leaf.Usages {
				options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: start}
				if _, err := cert.Verify(options); err != nil {
					t.Errorf("does not verify: %v", err)
				}
			}
			for _, name := range leaf.SANs.DNSNames {
				if strings.HasPrefix(name, "*") {
					continue
				}
				if err := cert.VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			for _, ip := range leaf.SANs.IPs {
				if err := cert.VerifyHostname(ip.String()); err != nil {
					t.Error(err)
				}
			}
			if end, err := NotAfter(pair.Cert); err != nil || !end.Equal(start.Add(year)) {
				t.Errorf("ends on %s (%v), want %s", end, err, start.Add(year))
			}
			if want := start.Add(-5 * time.Minute); !cert.NotBefore.Equal(want) {
				t.Errorf("is valid from %s, want %s", cert.NotBefore, want)
			}
		})
	}
}

// TestEnsure takes a certificate issued at the start and changes one thing.
func TestEnsure(t *testing.T) {
	authorities := newAuthorities(t)
	leaf := leafNamed(t, names(), APIServer)
	issued := newLeaf(t, authorities, APIServer)
	another := newLeaf(t, authorities, APIServer)
	ofOther := newLeaf(t, newAuthorities(t), APIServer)
	otherNames := names()
	otherNames.SubjectAltNames = []string{"new.example.com"}

	change := func(f func(*Leaf)) Leaf {
		changed := leaf
		f(&changed)
		return changed
	}
	for _, tt := range []struct {
		name  string
		leaf  Leaf
		given KeyPair
		after time.Duration
		want  Reason
	}{
		{name: "all is well", leaf: leaf, given: issued, want: ""},
		{name: "all is well at the first instant", leaf: leaf, given: issued, after: -5 * time.Minute, want: ""},
		{name: "all is well after half of its life", leaf: leaf, given: issued, after: year / 2, want: ""},
		{name: "names in another order are the same", leaf: change(func(l *Leaf) {
			l.SANs.DNSNames = slices.Clone(l.SANs.DNSNames)
			slices.Reverse(l.SANs.DNSNames)
		}), given: issued, want: ""},

		{name: "nothing is there", leaf: leaf, want: ReasonMissing},
		{name: "the key is not there", leaf: leaf, given: KeyPair{Cert: issued.Cert}, want: ReasonMissing},
		{name: "the certificate is garbage", leaf: leaf, given: KeyPair{Cert: []byte("x"), Key: issued.Key}, want: ReasonUnreadable},
		{name: "the key is garbage", leaf: leaf, given: KeyPair{Cert: issued.Cert, Key: []byte("x")}, want: ReasonUnreadable},
		{name: "the key is another's", leaf: leaf, given: KeyPair{Cert: issued.Cert, Key: another.Key}, want: ReasonKeyMismatch},
		{name: "another authority signed it", leaf: leaf, given: ofOther, want: ReasonOtherAuthority},
		{name: "it is for another user", leaf: change(func(l *Leaf) { l.CommonName = "x" }), given: issued, want: ReasonSubjectDiffers},
		{name: "it is for another group", leaf: change(func(l *Leaf) { l.Organizations = []string{"x"} }), given: issued, want: ReasonSubjectDiffers},
		{name: "it is for another usage", leaf: change(func(l *Leaf) {
			l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), given: issued, want: ReasonUsagesDiffer},
		{name: "a name came and others went", leaf: leafNamed(t, otherNames, APIServer), given: issued, want: ReasonNamesDiffer},
		{name: "its time has not come", leaf: leaf, given: issued, after: -time.Hour, want: ReasonNotYetValid},
		{name: "two thirds of its life are over", leaf: leaf, given: issued, after: year * 2 / 3, want: ReasonRenewalDue},
		{name: "its time is over", leaf: leaf, given: issued, after: year + time.Second, want: ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair, why, err := authorities.Ensure(tt.leaf, tt.given, start.Add(tt.after))
			if err != nil {
				t.Fatal(err)
			}
			if why.Reason != tt.want {
				t.Errorf("got reason %q (%s), want %q", why.Reason, why.Message, tt.want)
			}
			kept := string(pair.Cert) == string(tt.given.Cert) && string(pair.Key) == string(tt.given.Key)
			if kept != (tt.want == "") {
				t.Errorf("kept: %v, although the reason is %q", kept, why.Reason)
			}
			if (why.Message == "") != (tt.want == "") {
				t.Errorf("reason %q comes with message %q", why.Reason, why.Message)
			}
			// What was issued must satisfy the same policies, or it would be issued for ever.
			if _, again, err := authorities.Ensure(tt.leaf, pair, start.Add(tt.after)); err != nil || again != (Why{}) {
				t.Errorf("a second time it is issued again: %+v, %v", again, err)
			}
		})
	}
}

func TestMessageNamesWhatChanged(t *testing.T) {
	authorities := newAuthorities(t)
	changed := names()
	changed.SubjectAltNames = []string{"new.example.com", "2001:db8::1"}
	_, why, err := authorities.Ensure(leafNamed(t, changed, APIServer), newLeaf(t, authorities, APIServer), start)
	if err != nil {
		t.Fatal(err)
	}
	if want := `it lacks the names ["new.example.com"] and has ["*.api.example.com"] too many`; why.Message != want {
		t.Errorf("got %q, want %q", why.Message, want)
	}
}

// TestNearTheEndOfTheAuthority goes through the last year of an authority.
func TestNearTheEndOfTheAuthority(t *testing.T) {
	authorities := newAuthorities(t)
	leaf := leafNamed(t, names(), Admin)
	end := start.Add(10 * year)

	pair, _, err := authorities.Ensure(leaf, KeyPair{}, end.Add(-90*day))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := NotAfter(pair.Cert); err != nil || !got.Equal(end) {
		t.Errorf("ends on %s (%v), want it to end with its authority on %s", got, err, end)
	}
	if _, why, err := authorities.Ensure(leaf, pair, end.Add(-time.Hour)); err != nil || why != (Why{}) {
		t.Errorf("is renewed (%+v, %v), although it cannot live longer", why, err)
	}
	if _, _, err := authorities.Ensure(leaf, pair, end.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "authority ca expired") {
		t.Errorf("got error %v, want one that says that the authority expired", err)
	}
}

func TestEnsureRefuses(t *testing.T) {
	good := newAuthorities(t)
	leaf := leafNamed(t, names(), Admin)
	for _, tt := range []struct {
		name  string
		given Authorities
		leaf  Leaf
		want  string
	}{
		{"an authority that does not exist", good, Leaf{Name: "x", Signer: "nobody"}, `no authority "nobody"`},
		{"an authority that cannot be read", Authorities{}, leaf, "read authority ca"},
		{"an authority without its key", Authorities{Cluster: KeyPair{Cert: good.Cluster.Cert}}, leaf, "read key of authority ca"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := tt.given.Ensure(tt.leaf, KeyPair{}, start)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one that says %q", err, tt.want)
			}
		})
	}
}
