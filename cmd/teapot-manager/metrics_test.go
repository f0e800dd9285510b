package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestMetrics are served over TLS, to whom the API server allows it, and have all that the
// chart's alerts and dashboard ask for.
func TestMetrics(t *testing.T) {
	c := newClient(t)
	namespace := tenant(t, c).Namespace
	address := freeAddress(t)
	manager := startManager(t, "--metrics-bind-address="+address, "--watch-namespaces="+namespace)

	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "metrics-"},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}
	if err := c.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "reader"}},
	}); err != nil {
		t.Fatal(err)
	}
	may := token(t, c, namespace, "reader")
	for _, tt := range []struct {
		name, token string
		want        int
	}{
		{"without a token", "", http.StatusUnauthorized},
		{"with a token of nobody's", "abc", http.StatusInternalServerError}, // controller-runtime's word for it
		{"with the token of one who may not", token(t, c, namespace, "stranger"), http.StatusForbidden},
		{"with the token of one who may", may, http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			manager.eventually(t, fmt.Sprint("status ", tt.want), func(ctx context.Context) error {
				status, body, err := scrape(ctx, "https://"+address, tt.token)
				if err != nil {
					return err
				}
				if status != http.StatusOK && strings.Contains(body, "teapot_") {
					t.Fatalf("metrics were given away:\n%s", body)
				}
				if status != tt.want {
					return fmt.Errorf("status %d: %s", status, body)
				}
				return nil
			})
		})
	}

	// The server says 400 or hangs up, whichever is faster.
	if status, body, err := scrape(t.Context(), "http://"+address, may); err == nil && status != http.StatusBadRequest {
		t.Errorf("without TLS: status %d: %s", status, body)
	}

	wanted, err := os.ReadFile(filepath.Join(apiserver.Root(t), "test", "chart", "promrules", "exported-metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	manager.eventually(t, "every metric of the alerts and the dashboard", func(ctx context.Context) error {
		_, body, err := scrape(ctx, "https://"+address, may)
		for _, name := range strings.Fields(string(wanted)) {
			if !strings.Contains(body, "\n"+name+"{") && !strings.Contains(body, "\n"+name+" ") {
				err = errors.Join(err, fmt.Errorf("%s is not exported", name))
			}
		}
		if !strings.Contains(body, fmt.Sprintf(`teapot_controlplane_ready{name="acme",namespace=%q} 0`, namespace)) {
			err = errors.Join(err, fmt.Errorf("the control plane is not said to be not Ready"))
		}
		return err
	})
}

// TestMetricsCertificate of a folder is served, and its successor without a restart.
func TestMetricsCertificate(t *testing.T) {
	directory, address := t.TempDir(), freeAddress(t)
	first := writeCertificate(t, directory)
	manager := startManager(t, "--metrics-bind-address="+address, "--metrics-cert-dir="+directory)
	served := func(certificate []byte) func(context.Context) error {
		return func(ctx context.Context) error {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(certificate)
			conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "metrics.test"}}).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		}
	}
	manager.eventually(t, "the folder's certificate", served(first))
	manager.eventually(t, "its successor", served(writeCertificate(t, directory)))

	if _, err := serveMetrics(":0", t.TempDir()); err == nil || !strings.Contains(err.Error(), "--metrics-cert-dir") {
		t.Errorf("an empty folder: %v, want an error that names the flag", err)
	}
}

func writeCertificate(t *testing.T, directory string) []byte {
	t.Helper()
	certificate, key, err := certutil.GenerateSelfSignedCertKey("metrics.test", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(directory, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(directory, "tls.key"), key, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return certificate
}

func scrape(ctx context.Context, url, token string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	scraper := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // made when the manager started
		DisableKeepAlives: true,
	}}
	response, err := scraper.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// token is one of a new service account.
func token(t *testing.T, c client.Client, namespace, account string) string {
	t.Helper()
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), object, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
