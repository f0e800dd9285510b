package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/teapot-cloud/teapot/controlplane"
)

const (
	// tenantDeadline bounds each request to a tenant's API.
	tenantDeadline = 5 * time.Second
	// largestAnswer is the most bytes of one answer that are read: it comes from a cluster
	// that is somebody else's.
	largestAnswer = 16 << 20
)

// tenant collects what the tenant's API says of itself and its cluster: by its own address, or
// else through a control-plane pod; never through the gateway, where it would count as use.
func (c *collector) tenant(ctx context.Context) error {
	const what = "tenant/"
	config, err := c.userKubeconfig(ctx, c.client, c.key)
	if err != nil {
		c.lack(what, err)
		return nil
	}
	if c.tcp == nil || c.tcp.Status.Endpoint == nil {
		c.missing = append(c.missing, missing{what, "not found: the endpoint is not known"})
		return nil
	}
	if isSleeping(c.tcp) {
		c.missing = append(c.missing, missing{what, "not asked: the control plane " + asleepSince(c.tcp.Status.Hibernation)})
		return nil
	}
	direct, err := tenantConfig(config, c.tcp.Status.Endpoint.URL)
	if err != nil {
		c.lack(what, err)
		return nil
	}
	api := tenantAPI{config: direct}
	ready, err := api.get(ctx, "/readyz", "verbose=true")
	ways := []string{wayIn("by its address, "+direct.Host, err)}
	if err != nil {
		c.lack("tenant/, by its address", err)
		var closeTunnel func()
		pod, dial, closeTunnel, tunnelErr := c.throughPod(ctx)
		if tunnelErr != nil {
			c.lack("tenant/, by port-forward", tunnelErr)
			c.files["tenant/reached.txt"] = strings.Join(ways, "")
			return nil
		}
		defer closeTunnel()
		through := rest.CopyConfig(direct)
		through.Dial, through.ServerName = dial, inClusterServerName
		api.config = through
		ready, err = api.get(ctx, "/readyz", "verbose=true")
		ways = append(ways, wayIn("by port-forward to pod "+pod, err))
	}
	c.files["tenant/reached.txt"] = strings.Join(ways, "")
	var status statusError
	if err != nil && !errors.As(err, &status) {
		c.lack("tenant/, by port-forward", err)
		return nil
	}
	c.files["tenant/readyz.txt"] = string(ready)
	if tenantVersion, err := serverVersion(api.get(ctx, "/version", "")); err != nil {
		c.lack("versions.txt, tenant's API", err)
	} else {
		c.versions = append(c.versions, "tenant's API: "+tenantVersion)
	}
	var nodes corev1.NodeList
	if err := api.list(ctx, "/api/v1/nodes", &nodes); err != nil {
		c.lack("tenant/nodes.txt", err)
	} else {
		c.files["tenant/nodes.txt"] = tableText(nodeRows(nodes.Items))
	}
	var pods corev1.PodList
	if err := api.list(ctx, "/api/v1/namespaces/kube-system/pods", &pods); err != nil {
		c.lack("tenant/kube-system-pods.txt", err)
	} else {
		c.files["tenant/kube-system-pods.txt"] = tableText(podRows(pods.Items, inFiles))
	}
	return nil
}

func wayIn(way string, err error) string {
	if err == nil {
		return "Answers " + way + ".\n"
	}
	return fmt.Sprintf("Does not answer well %s: %v\n", way, err)
}

// tenantConfig reaches a tenant's API with what is in a kubeconfig, and nothing but that: not
// the server that it names, which whoever may write the Secret could choose.
func tenantConfig(config *clientcmdapi.Config, server string) (*rest.Config, error) {
	single, err := singleContext(config, "tenant", "", "")
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig of its users: %w", err)
	}
	cluster, user := single.Clusters["tenant"], single.AuthInfos["tenant"]
	return &rest.Config{
		Host:        server,
		BearerToken: user.Token, Username: user.Username, Password: user.Password,
		TLSClientConfig: rest.TLSClientConfig{CAData: cluster.CertificateAuthorityData, CertData: user.ClientCertificateData, KeyData: user.ClientKeyData},
		Timeout:         tenantDeadline,
	}, nil
}

// tenantAPI asks a tenant's API.
type tenantAPI struct{ config *rest.Config }

// statusError is an answer other than 200. What it said is returned beside it.
type statusError struct{ path, status string }

func (e statusError) Error() string { return fmt.Sprintf("GET %s: %s", e.path, e.status) }

func (a tenantAPI) get(ctx context.Context, path, query string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tenantDeadline)
	defer cancel()
	httpClient, err := rest.HTTPClientFor(a.config)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(a.config.Host)
	if err != nil {
		return nil, err
	}
	target.Path, target.RawQuery = path, query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, text/plain")
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer))
	if err == nil && response.StatusCode != http.StatusOK {
		err = statusError{path, response.Status}
	}
	return body, err
}

func (a tenantAPI) list(ctx context.Context, path string, into any) error {
	body, err := a.get(ctx, path, "limit=500")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// throughPod returns a function that dials the API of a ready control-plane pod through the
// management cluster, as "proxy" does.
func (c *collector) throughPod(ctx context.Context) (pod string, dial func(context.Context, string, string) (net.Conn, error), done func(), err error) {
	selector := labels.SelectorFromSet(controlplane.ComponentLabels(c.key, controlplane.ControlPlaneName))
	for i := range c.pods {
		if selector.Matches(labels.Set(c.pods[i].Labels)) && isReady(&c.pods[i]) {
			pod = c.pods[i].Name
			break
		}
	}
	if pod == "" {
		return "", nil, nil, errors.New("no control-plane pod is known to be ready")
	}
	open, err := portForwardDialer(c.config, c.client, c.own)
	if err != nil {
		return "", nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialDeadline)
	defer cancel()
	conn, err := open(ctx, pod)
	if err != nil {
		return "", nil, nil, err
	}
	t := &tunnel{pod: pod, conn: conn}
	return pod, func(ctx context.Context, _, _ string) (net.Conn, error) {
		s, err := t.openStreams(ctx, controlplane.PortAPIServer)
		if err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		go func() {
			// What the kubelet reports shows as a connection that ends.
			_ = s.carry(far)
			_ = far.Close()
		}()
		return near, nil
	}, t.close, nil
}
