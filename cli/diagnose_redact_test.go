package cli

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/yaml"
)

// Secrets of no one, in the forms that real ones have.
const (
	aJWT            = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJlLW9mLXRoaXM"
	aBootstrapToken = "abcdef.0123456789abcdef"
)

// aPrivateKey is an ECDSA key in PEM, as all of Teapot's are.
var aPrivateKey = sync.OnceValue(func() string {
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		panic(err)
	}
	return string(key)
})

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestDiagnoseRedactsText(t *testing.T) {
	key := aPrivateKey()
	block, _ := pem.Decode([]byte(key))
	cert, _ := tenantCertificate()
	lines := strings.SplitAfter(strings.TrimSpace(key), "\n")
	quoted, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, given, want string }{
		{"a private key", "before\n" + key + "after", "before\n(redacted)\nafter"},
		{"two of them", key + "between\n" + key, "(redacted)\nbetween\n(redacted)\n"},
		{"indented", "key: |\n  " + strings.ReplaceAll(strings.TrimSpace(key), "\n", "\n  ") + "\nnext: 1", "key: |\n  (redacted)\nnext: 1"},
		{"in a line of JSON", `{"k":` + string(quoted) + `,"n":1}`, `{"k":"(redacted)\n","n":1}`},
		{"with time stamps", "10:00 " + strings.Join(lines, "10:00 ") + "\n10:01 ok", "10:00 (redacted)\n10:01 ok"},
		{"without its end", "before\n" + lines[0] + lines[1], "before\n(redacted)"},
		{"without its beginning", strings.Join(lines[1:], "") + "\nafter", "(redacted)\nafter"},
		{"in base64", "data: " + inBase64(key), "data: (redacted)"},
		{"in base64 of base64", "data: " + inBase64("x: "+inBase64(key)), "data: (redacted)"},
		{"as DER", "key " + base64.StdEncoding.EncodeToString(block.Bytes), "key (redacted)"},
		{"a certificate is public", string(cert), string(cert)},
		{"and in base64 too", "caBundle: " + inBase64(string(cert)), "caBundle: " + inBase64(string(cert))},

		{"a JWT", "got " + aJWT + " from it", "got (redacted) from it"},
		{"one that was cut off", "got " + aJWT[:60] + "...", "got (redacted)"},
		{"a bootstrap token", "join with " + aBootstrapToken + ".", "join with (redacted)."},
		{"a bearer token", "curl -H 'Bearer abcd1234efgh'", "curl -H 'Bearer (redacted)'"},
		{"a header", "Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: (redacted)"},
		{"a header in JSON", `{"Authorization":["Bearer x"],"n":1}`, `{"Authorization":(redacted),"n":1}`},
		{"a header of Go", "map[Authorization:[Bearer x] Accept:[*/*]]", "map[Authorization:(redacted) Accept:[*/*]]"},
		{"a header of a proxy", "proxy-authorization: Digest username=a, response=b\nnext", "proxy-authorization: (redacted)\nnext"},
		{"a URL", "dial https://alice:wonder@example.com:1/x", "dial https://(redacted)@example.com:1/x"},
		{"an address is no credential", "https://10.0.0.1:6443/x?a=b@c", "https://10.0.0.1:6443/x?a=b@c"},

		{"a kubeconfig's user", "user:\n  client-key-data: LS0t\n  token: abc\n  client-certificate-data: LS0t", "user:\n  client-key-data: (redacted)\n  token: (redacted)\n  client-certificate-data: (redacted)"},
		{"a name with a value", "token=abc password: 'x y' db_password=1 clientSecret=z", "token=(redacted) password: '(redacted)' db_password=(redacted) clientSecret=(redacted)"},
		{"an environment variable", "AWS_SECRET_ACCESS_KEY=abc OIDC_TOKEN=1 DB_SECRET=2 HOME=/", "AWS_SECRET_ACCESS_KEY=(redacted) OIDC_TOKEN=(redacted) DB_SECRET=(redacted) HOME=/"},
		{"in JSON", `{"token":"a\"b","x":1}`, `{"token":"(redacted)","x":1}`},
		{"in JSON in a string", `"{\"token\":\"abc\",\"x\":1}"`, `"{\"token\":\"(redacted)\",\"x\":1}"`},
		{"a flag", "kubeadm join --token abc --v=2", "kubeadm join --token (redacted) --v=2"},
		{"a flag with an equals sign", "--initial-cluster-token=abc", "--initial-cluster-token=(redacted)"},

		{"switches", "--enable-bootstrap-token-auth=true automountServiceAccountToken: false token: \"\" token=<nil>", "--enable-bootstrap-token-auth=true automountServiceAccountToken: false token: \"\" token=<nil>"},
		{"files", "--service-account-signing-key-file=/etc/kubernetes/sa.key --token-auth-file=/x", "--service-account-signing-key-file=/etc/kubernetes/sa.key --token-auth-file=/x"},
		{"names of Secrets", `secretName: authorities secret="acme/acme-ca" secret "control-plane" not found`, `secretName: authorities secret="acme/acme-ca" secret "control-plane" not found`},
		{"hashes", "image@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "image@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{"paths", "/var/lib/kubelet/pods/0b0f00a0-9f86-d081/volumes/kubernetes.io~secret/etcd", "/var/lib/kubelet/pods/0b0f00a0-9f86-d081/volumes/kubernetes.io~secret/etcd"},
		{"the manager's log", `I1121 10:00:00.000000 1 apply.go:76] "applied" controlPlane="acme/acme" object="Secret tcp-acme-4f62c5be/etcd"`, `I1121 10:00:00.000000 1 apply.go:76] "applied" controlPlane="acme/acme" object="Secret tcp-acme-4f62c5be/etcd"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRedactor(nil)
			got := r.text(test.given)
			if got != test.want {
				t.Errorf("from %q\n got %q\nwant %q", test.given, got, test.want)
			}
			if again := r.text(got); again != got {
				t.Errorf("twice it becomes %q", again)
			}
		})
	}
}

func TestDiagnoseRedactsObjects(t *testing.T) {
	const given = `
kind: Deployment
metadata:
  annotations: {note: "line\n-----BEGIN PRIVATE KEY-----\nabc", team-token: t}
spec:
  containers:
  - args: [--v=2, --token, abc, --password=x]
    env:
    - {name: DB_PASSWORD, value: p}
    - {name: API_KEY, value: k}
    - {name: HOME, value: /}
    - {name: USE_TOKEN, value: "true"}
    httpHeaders: [{name: X-Auth-Token, value: h}]
    command: [sh, -c, "curl -H 'Authorization: Bearer x'"]
  automountServiceAccountToken: false
  volumes: [{secret: {secretName: etcd, items: [{key: ca.key, path: ca.key}]}}]
users:
- name: admin
  user: {token: t, password: p, client-key-data: d}
items:
- kind: Secret
  metadata: {name: s}
  data: {a: b}
`
	const want = `
kind: Deployment
metadata:
  annotations: {note: "line\n(redacted)", team-token: (redacted)}
spec:
  containers:
  - args: [--v=2, --token, (redacted), --password=(redacted)]
    env:
    - {name: DB_PASSWORD, value: (redacted)}
    - {name: API_KEY, value: (redacted)}
    - {name: HOME, value: /}
    - {name: USE_TOKEN, value: "true"}
    httpHeaders: [{name: X-Auth-Token, value: (redacted)}]
    command: [sh, -c, "curl -H 'Authorization: (redacted)"]
  automountServiceAccountToken: false
  volumes: [{secret: {secretName: etcd, items: [{key: ca.key, path: ca.key}]}}]
users:
- name: admin
  user: {token: (redacted), password: (redacted), client-key-data: (redacted)}
items:
- kind: Secret
  metadata: {name: s}
  data: (redacted)
`
	r := newRedactor(nil)
	got := asYAML(t, r.object(fromYAML(t, given)))
	if normalized := asYAML(t, fromYAML(t, want)); got != normalized {
		t.Errorf("got\n%s\nwant\n%s", got, normalized)
	}
	// What is written passes the rules for texts too, and is still the same object.
	if again := asYAML(t, fromYAML(t, r.text(got))); again != got {
		t.Errorf("as a text it becomes\n%s", again)
	}
}

func fromYAML(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return value
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What no rule would know for a secret is known from the Secrets themselves.
func TestDiagnoseRedactsKnownValues(t *testing.T) {
	const plain = "correct horse battery staple"
	config := clientcmdapi.NewConfig()
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: "static-token-of-admin", ClientKeyData: []byte(aPrivateKey())}
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := tenantCertificate()
	r := newRedactor([]corev1.Secret{{Data: map[string][]byte{
		"phrase": []byte(plain + "\n"), "value": kubeconfig, "empty": nil, "short": []byte("acme"),
		"namespace": []byte("tcp-acme-4f62c5be"), "ca.crt": cert,
	}}})
	body := strings.Split(aPrivateKey(), "\n")[1]
	for _, test := range []struct{ name, given, want string }{
		{"as it is", "I say " + plain + ".", "I say (redacted)."},
		{"in base64", "I say " + inBase64(plain) + ".", "I say (redacted)."},
		{"in base64 with its last line break", inBase64(plain + "\n"), "(redacted)"},
		{"a token of a kubeconfig", "by static-token-of-admin", "by (redacted)"},
		{"a line of its key", "odd " + body + " line", "odd (redacted) line"},
		{"what is short occurs by chance", "acme", "acme"},
		{"a namespace is no secret", "tcp-acme-4f62c5be", "tcp-acme-4f62c5be"},
		{"a certificate is no secret", string(cert), string(cert)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := r.text(test.given); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
