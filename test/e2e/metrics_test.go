package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// TestMetricsAreForWhoMay scrapes the manager as Prometheus would, through the chart's Service
// and with the chart's role.
func TestMetricsAreForWhoMay(t *testing.T) {
	namespace := tenantNamespace(t)
	for _, account := range []string{"prometheus", "stranger"} {
		object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
		if err := management.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-metrics-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "teapot-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "prometheus"}},
	}
	if err := management.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := management.Delete(context.WithoutCancel(t.Context()), binding); err != nil {
			t.Error(err)
		}
	})
	service, err := clientset.CoreV1().Services(managersNamespace).Get(t.Context(), "teapot-manager-metrics", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(service.Spec.ClusterIP, fmt.Sprint(service.Spec.Ports[0].Port))

	for _, tt := range []struct {
		name, token string
		want        int
	}{
		{"nobody", "", http.StatusUnauthorized},
		{"a stranger", requestToken(t, clientset, namespace, "stranger", nil), http.StatusForbidden},
		{"Prometheus", requestToken(t, clientset, namespace, "prometheus", nil), http.StatusOK},
	} {
		eventually(t, time.Minute, fmt.Sprintf("%s to get status %d", tt.name, tt.want), func(ctx context.Context) error {
			status, body, err := scrape(ctx, address, tt.token)
			if err != nil {
				return err
			}
			if told := strings.Contains(body, `teapot_controlplanes{ready="True",reason="Ready"}`); status != tt.want || told != (tt.want == http.StatusOK) {
				return fmt.Errorf("status %d, metrics told: %v: %.200s", status, told, body)
			}
			return nil
		})
	}
}

// scrape asks the manager for its metrics.
func scrape(ctx context.Context, address, token string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	scraper := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       netdial.DialContext,
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
