package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// gatewayInterval is how often the gateway's Service is looked at: it is one for all control planes,
// and hardly ever changes.
const gatewayInterval = 30 * time.Second

// gatewayService remembers the gateway's Service, which is not labelled as a control plane's and so not
// in the cache.
type gatewayService struct {
	mu      sync.Mutex
	service *corev1.Service
	read    time.Time
}

func (g *gatewayService) get(ctx context.Context, live client.Reader, c clock.PassiveClock, settings controlplane.GatewaySettings) (*corev1.Service, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.read.IsZero() && c.Since(g.read) < gatewayInterval {
		return g.service, nil
	}
	service := &corev1.Service{}
	switch err := live.Get(ctx, settings.Service, service); {
	case apierrors.IsNotFound(err):
		service = nil
	case err != nil:
		return nil, fmt.Errorf("reading the gateway's Service %s: %w", settings.Service, err)
	}
	g.service, g.read = service, c.Now()
	return service, nil
}

// resolveGateway finds out the users' way in. While the gateway has no address users come as machines do.
func (s *scope) resolveGateway(ctx context.Context) error {
	settings := s.Settings.Gateway
	if s.input.GatewayServerName() == "" {
		return nil
	}
	var service *corev1.Service
	if settings.Service.Name != "" {
		var err error
		if service, err = s.gateway.get(ctx, s.Live, s.Clock, settings); err != nil {
			return err
		}
	}
	address := s.Settings.NodePortAddress
	if address == "" && s.tcp.Spec.Endpoint.Type == teapotv1.EndpointNodePort {
		address = s.input.Endpoint.Address
	}
	if address == "" && settings.Address == "" && service != nil && service.Spec.Type == corev1.ServiceTypeNodePort {
		nodes := &corev1.NodeList{}
		if err := s.Live.List(ctx, nodes); err != nil {
			return fmt.Errorf("listing the management cluster's nodes: %w", err)
		}
		address = controlplane.NodeAddress(s.input, nodes.Items)
	}
	gateway, err := controlplane.ResolveGateway(s.input, service, address)
	var unresolved *controlplane.NotResolved
	if errors.As(err, &unresolved) {
		s.noGateway = unresolved.Message
		s.requeueAfter(gatewayInterval)
		if s.tcp.Spec.Endpoint.Gateway == teapotv1.GatewayEnabled {
			s.setFalse(teapotv1.EndpointReadyCondition, unresolved.Reason, "%s", unresolved.Message)
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.input.Gateway = gateway
	if gateway.ServerName != "" {
		s.tcp.Status.Endpoint.GatewayURL, s.tcp.Status.Endpoint.GatewayServerName = gateway.URL(), gateway.ServerName
	}
	return nil
}
