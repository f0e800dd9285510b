package bootstrap

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestMetaData: whatever way a template has of saying the machine's name or id, it gets the
// Machine's and not the host's.
func TestMetaData(t *testing.T) {
	got, err := MetaData(Machine{Name: "worker-1", ProviderID: ProviderID("0b9e")})
	if err != nil {
		t.Fatal(err)
	}
	want := `hostname: worker-1
instance-id: 0b9e
local-hostname: worker-1
local_hostname: worker-1
name: worker-1
provider_id: teapot://0b9e
uuid: 0b9e
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMetaDataSecretName(t *testing.T) {
	long := strings.Repeat("a", 253)
	for name, test := range map[string]struct{ machine, want string }{
		"short":                   {"worker-1", "worker-1-metadata"},
		"as long as it may be":    {long[:244], long[:244] + "-metadata"},
		"too long":                {long, long[:233] + "-32859a3ab6-metadata"},
		"too long, cut at a dot":  {long[:232] + "." + long[:20], long[:232] + "-5497bee542-metadata"},
		"too long, another's end": {long[:252] + "b", long[:233] + "-7376f2b410-metadata"},
	} {
		got := MetaDataSecretName(test.machine)
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
			t.Errorf("%s: %s: %v", name, got, problems)
		}
	}
}

func TestTokenSecretName(t *testing.T) {
	for token, want := range map[string]string{
		"abcdef.0123456789abcdef":            "bootstrap-token-abcdef",
		"":                                   "",
		"abcdef":                             "",
		"ABCDEF.0123456789abcdef":            "",
		"abcdef.0123456789abcdef/../../oops": "",
	} {
		got, err := TokenSecretName(token)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", token, got, err, want)
		}
		if err != nil && token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
}
