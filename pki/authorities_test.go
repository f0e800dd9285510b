package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when the authorities of the tests are made.
var start = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func newAuthorities(t testing.TB) Authorities {
	t.Helper()
	made, err := NewAuthorities(start)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNewAuthorities(t *testing.T) {
	made := newAuthorities(t)
	for _, tt := range []struct {
		pair       KeyPair
		commonName string
	}{
		{made.Cluster, "kubernetes"},
		{made.FrontProxy, "front-proxy-ca"},
		{made.Etcd, "etcd-ca"},
	} {
		t.Run(tt.commonName, func(t *testing.T) {
			cert, err := parseCertificate(tt.pair.Cert)
			if err != nil {
				t.Fatal(err)
			}
			if got := cert.Subject.CommonName; got != tt.commonName {
				t.Errorf("is called %q", got)
			}
			if want := start.Add(-5 * time.Minute); !cert.NotBefore.Equal(want) {
				t.Errorf("is valid from %s, want %s", cert.NotBefore, want)
			}
			if want := start.Add(10 * year); !cert.NotAfter.Equal(want) {
				t.Errorf("is valid to %s, want %s", cert.NotAfter, want)
			}
			key, ok := cert.PublicKey.(*ecdsa.PublicKey)
			if !ok || key.Curve != elliptic.P256() {
				t.Errorf("has a key of type %T, want ECDSA P-256", cert.PublicKey)
			}
		})
	}
}

func TestAuthoritiesSurviveTheirSecret(t *testing.T) {
	made := newAuthorities(t)
	read, err := ParseAuthorities(made.Data())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, read); diff != "" {
		t.Error("what was read is not what was made")
	}
}

func TestParseAuthoritiesNamesTheKeyThatIsWrong(t *testing.T) {
	good, other := newAuthorities(t).Data(), newAuthorities(t).Data()
	leaf := newLeaf(t, newAuthorities(t), APIServer)
	garbage := []byte("garbage")

	for _, tt := range []struct {
		name  string
		given map[string][]byte
		want  string
	}{
		{"a certificate is missing", map[string][]byte{"ca.crt": nil}, `key "ca.crt" is missing`},
		{"a key is missing", map[string][]byte{"etcd-ca.key": nil}, `key "etcd-ca.key" is missing`},
		{"a certificate is garbage", map[string][]byte{"front-proxy-ca.crt": garbage}, `key "front-proxy-ca.crt" is not a certificate`},
		{"a key is garbage", map[string][]byte{"ca.key": garbage}, `key "ca.key" is not a private key`},
		{"a key is another's", map[string][]byte{"ca.key": other["ca.key"]}, `key "ca.key" does not belong to ca.crt`},
		{"a certificate is no authority", map[string][]byte{"ca.crt": leaf.Cert, "ca.key": leaf.Key}, `key "ca.crt" is not a certificate authority`},
		{"the public key is missing", map[string][]byte{"sa.pub": nil}, `key "sa.pub" is missing`},
		{"the public key is garbage", map[string][]byte{"sa.pub": garbage}, `key "sa.pub" is not a public key`},
		{"the signing key is another's", map[string][]byte{"sa.key": other["sa.key"]}, `key "sa.key" does not belong to sa.pub`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := maps.Clone(good)
			maps.Copy(data, tt.given)
			_, err := ParseAuthorities(data)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range []string{tt.want, "restore the Secret from a backup"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestNotAfterRefusesGarbage(t *testing.T) {
	if _, err := NotAfter([]byte("garbage")); err == nil {
		t.Error("no error")
	}
	if _, err := RenewalTime([]byte("garbage")); err == nil {
		t.Error("no error")
	}
}

// BenchmarkEverything makes all that a new control plane needs.
func BenchmarkEverything(b *testing.B) {
	for b.Loop() {
		authorities := newAuthorities(b)
		leaves, err := Leaves(names())
		if err != nil {
			b.Fatal(err)
		}
		for _, leaf := range leaves {
			if _, _, err := authorities.Ensure(leaf, KeyPair{}, start); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkNothingToDo looks at certificates that are all in order, as each reconcile does.
func BenchmarkNothingToDo(b *testing.B) {
	authorities := newAuthorities(b)
	leaves, err := Leaves(names())
	if err != nil {
		b.Fatal(err)
	}
	pairs := make([]KeyPair, len(leaves))
	for i, leaf := range leaves {
		if pairs[i], _, err = authorities.Ensure(leaf, KeyPair{}, start); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for i, leaf := range leaves {
			if _, why, err := authorities.Ensure(leaf, pairs[i], start); err != nil || why != (Why{}) {
				b.Fatal(why, err)
			}
		}
	}
}
