package floor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/pki"
)

// Name is the name of the pod, its Service and its Secret.
const Name = "floor"

// Options say where a floor runs.
type Options struct {
	// Namespace is made for it and holds all of it: deleting the namespace removes it.
	Namespace string
	// Labels are put onto the namespace.
	Labels map[string]string
	// Version is the Kubernetes version, as v1.36.3.
	Version string
	// NodeAddress is an IP address of a node, by which its NodePort is dialled.
	NodeAddress string
}

// Floor is a control plane that is prepared: nothing is missing but its volume and pod.
type Floor struct {
	// Address is the host:port of its API server.
	Address string
	// CA is the certificate that its API server is trusted by.
	CA []byte
	// Client is the certificate of a client that may do everything.
	Client pki.KeyPair

	namespace string
	client    client.Client
	timed     []*unstructured.Unstructured
}

// Prepare makes everything that is not on the clock.
func Prepare(ctx context.Context, c client.Client, o Options) (*Floor, error) {
	keys, err := newKeys(o.Namespace, o.NodeAddress, time.Now())
	if err != nil {
		return nil, err
	}
	prepared, err := render(partPrepared, o.Version)
	if err != nil {
		return nil, err
	}
	timed, err := render(partTimed, o.Version)
	if err != nil {
		return nil, err
	}

	labels := maps.Clone(o.Labels)
	// What Teapot's own namespaces enforce, so that the pod is held to the same rules.
	labels["pod-security.kubernetes.io/enforce"] = "restricted"
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.Namespace, Labels: labels}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: Name}, Data: keys.secret},
	}
	for _, object := range prepared {
		objects = append(objects, object)
	}
	floor := &Floor{CA: keys.ca, Client: keys.client, namespace: o.Namespace, client: c, timed: timed}
	if err := floor.create(ctx, objects...); err != nil {
		return nil, err
	}

	service := &corev1.Service{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: Name}, service); err != nil {
		return nil, fmt.Errorf("reading the floor's Service: %w", err)
	}
	floor.Address = net.JoinHostPort(o.NodeAddress, strconv.Itoa(int(service.Spec.Ports[0].NodePort)))
	return floor, nil
}

// Start makes the volume claim and the pod: the clock runs from here.
func (f *Floor) Start(ctx context.Context) error {
	objects := make([]client.Object, len(f.timed))
	for i, object := range f.timed {
		objects[i] = object
	}
	return f.create(ctx, objects...)
}

func (f *Floor) create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if _, cluster := object.(*corev1.Namespace); !cluster {
			object.SetNamespace(f.namespace)
		}
		if err := f.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating the floor's %T %s/%s: %w", object, f.namespace, object.GetName(), err)
		}
	}
	return nil
}
