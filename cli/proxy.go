package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

const (
	localhost = "127.0.0.1"
	// inClusterServerName is in every control plane's certificate, whatever its endpoint.
	inClusterServerName = "kubernetes.default.svc"
)

// proxyOptions is "proxy".
type proxyOptions struct {
	*environment
	port          int
	kubeconfigOut string
	timeout       time.Duration

	key     types.NamespacedName
	command []string
	// quiet is set when the terminal is the command's.
	quiet atomic.Bool
}

func newProxyCommand(e *environment) *cobra.Command {
	o := &proxyOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "proxy NAME [options] [-- COMMAND [ARGUMENT...]]",
		Short: "Reach a control plane's API on a port of this machine",
		Long: e.long(`
			Make a control plane's API reachable on 127.0.0.1, through the management
			cluster's port-forward. It works wherever the management cluster can be reached,
			whatever the control plane's own endpoint is, and goes on when its pods are
			replaced. It does not count as use, and wakes nothing: a control plane that sleeps has
			no pods to go to, and the error says how it is woken.

			With a command after --, runs it with a KUBECONFIG for that API, and ends with its
			exit code. Otherwise it runs until it is interrupted.

			This needs the right to list and watch pods and to create pods/portforward in the
			control plane's own namespace, which operators have, and for a kubeconfig the
			right to get Secret NAME-user-kubeconfig, which the tenant has.`),
		Example: e.examples(`
			# Run one command
			{teapot} proxy acme -- kubectl get namespaces

			# A shell in which kubectl works with the control plane
			{teapot} proxy acme -- bash

			# In the background of a script, on a fixed port
			{teapot} proxy acme --port 16443 --kubeconfig-out acme.kubeconfig &`),
		RunE: e.run(o),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if cmd.ArgsLenAtDash() >= 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return e.completeNames(1)(cmd, args, prefix)
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&o.port, "port", "p", 0, "`PORT` on 127.0.0.1 (default: a free one)")
	flags.StringVar(&o.kubeconfigOut, "kubeconfig-out", "", "Write a kubeconfig for the local port to `FILE`, once it can be used")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "How long to wait at the start for a pod that is ready")
	return cmd
}

func (o *proxyOptions) Complete(cmd *cobra.Command, args []string) error {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args, o.command = args[:dash], args[dash:]
		if len(o.command) == 0 {
			return usagef("the command after -- is missing")
		}
	}
	name, err := oneName(cmd, args)
	if err != nil {
		if len(args) > 1 && len(o.command) == 0 {
			return usagef("one name, and a command after two dashes: %s proxy %s -- %s ...", o.program, args[0], args[1])
		}
		return err
	}
	namespace, _, err := o.namespace()
	o.key = types.NamespacedName{Namespace: namespace, Name: name}
	return err
}

func (o *proxyOptions) Validate() error {
	if o.port < 0 || o.port > 65535 {
		return fmt.Errorf("--port %d: must be between 1 and 65535, or 0 for a free one", o.port)
	}
	return validTimeout(o.timeout)
}

func (o *proxyOptions) Run(ctx context.Context) error {
	// A command handles the signals of its terminal itself; see runCommand.
	if len(o.command) == 0 {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	c, err := o.client()
	if err != nil {
		return err
	}
	var tcp teapotv1.TenantControlPlane
	if err := c.Get(ctx, o.key, &tcp); err != nil {
		return err
	}
	if isSleeping(&tcp) {
		return o.asleep(&tcp)
	}
	var config *clientcmdapi.Config
	if o.kubeconfigOut != "" || len(o.command) > 0 {
		if config, err = o.userKubeconfig(ctx, c, o.key); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort(localhost, fmt.Sprint(o.port)))
	if err != nil {
		return fmt.Errorf("--port %d: %w", o.port, err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	if config != nil {
		if config, err = localKubeconfig(config, o.key.Name, port); err != nil {
			return err
		}
	}

	forwarder, err := o.connect(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted before there was a connection")
		}
		return o.explainConnect(ctx, c, err)
	}
	served := make(chan error, 1)
	go func() { served <- forwarder.serve(ctx, listener) }()

	if o.kubeconfigOut != "" {
		if err := replaceProxyKubeconfig(o.kubeconfigOut, config); err != nil {
			return err
		}
	}
	if len(o.command) > 0 {
		o.quiet.Store(true)
		return runCommand(o.IOStreams, o.interactive(), o.command, config)
	}
	o.announce(port)
	return <-served
}

// connect follows the control plane's pods and returns when there is a tunnel to one.
func (o *proxyOptions) connect(ctx context.Context, c client.WithWatch) (*forwarder, error) {
	namespace := controlplane.Namespace(o.key)
	restConfig, err := o.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	dial, err := portForwardDialer(restConfig, c, namespace)
	if err != nil {
		return nil, err
	}
	note := func(format string, args ...any) {
		if !o.quiet.Load() {
			o.notef(format, args...)
		}
	}
	pods := newPodSet()
	f := newForwarder(pods, controlplane.PortAPIServer, dial, note, func(ctx context.Context) string { return o.fellAsleep(ctx, c) })
	opts := []client.ListOption{
		client.InNamespace(namespace),
		client.MatchingLabels(controlplane.ComponentLabels(o.key, controlplane.ControlPlaneName)),
	}
	listed := make(chan struct{}, 1)
	go func() {
		err := follow(ctx, c, func() client.ObjectList { return &corev1.PodList{} }, opts, func(objects found) (bool, error) {
			pods.update(objects)
			f.podsGone(func(pod string) bool { return objects[types.NamespacedName{Namespace: namespace, Name: pod}] != nil })
			select {
			case listed <- struct{}{}:
			default:
			}
			return false, nil
		})
		if apierrors.IsForbidden(err) {
			err = missingRightError{right: "list and watch pods", namespace: namespace}
		}
		pods.set(nil, err)
		select {
		case listed <- struct{}{}:
		default:
		}
	}()
	start, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	select {
	case <-listed:
	case <-start.Done():
	}
	if ready, _, err := pods.ready(); err == nil && len(ready) == 0 {
		o.notef("Waiting for a control-plane pod of %s to be ready in namespace %s", o.key, namespace)
	}
	_, err = f.tunnel(start)
	return f, err
}

// explainConnect says why there is no connection, and how else to come to the API.
func (o *proxyOptions) explainConnect(ctx context.Context, c client.Client, err error) error {
	var missing missingRightError
	if errors.As(err, &missing) {
		return fmt.Errorf("you may not port-forward to %s %q: %w\n"+
			"Ask an operator for it, or reach the API by its own address: %s kubeconfig %s -n %s",
			controlPlaneWord, o.key.Name, missing, o.program, o.key.Name, o.key.Namespace)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var tcp teapotv1.TenantControlPlane
	if getErr := c.Get(ctx, o.key, &tcp); getErr != nil {
		return getErr
	}
	return fmt.Errorf("timed out after %s waiting for a control-plane pod of %s %q in namespace %q to be ready; the control plane says:\n%s",
		o.timeout, controlPlaneWord, o.key.Name, controlplane.Namespace(o.key), o.because(controlPlanes, stateOf(&tcp), readyGoal()))
}

// fellAsleep says, after another sentence, that the control plane sleeps; empty if it does not, or nobody knows.
func (o *proxyOptions) fellAsleep(ctx context.Context, c client.Client) string {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	var tcp teapotv1.TenantControlPlane
	if err := c.Get(ctx, o.key, &tcp); err != nil || !isSleeping(&tcp) {
		return ""
	}
	return "; " + o.asleep(&tcp).Error()
}

// asleep says that there is nothing to forward to.
func (o *proxyOptions) asleep(tcp *teapotv1.TenantControlPlane) error {
	text := fmt.Sprintf("%s %q in namespace %q %s, and a port-forward wakes nothing.\nWake it with: %s", controlPlaneWord, o.key.Name, o.key.Namespace,
		asleepSince(tcp.Status.Hibernation), wakeCommand(o.program, o.key.Namespace, o.key.Name))
	if noRequestWakes(tcp) == "" {
		text += fmt.Sprintf("\nOr come through the gateway, which wakes it: %s kubeconfig %s -n %s", o.program, o.key.Name, o.key.Namespace)
	}
	return errors.New(text)
}

// announce tells what can be done with the port.
func (o *proxyOptions) announce(port int) {
	// The one line for programs; that it cannot be written does not stop the proxy.
	_ = o.resultf("https://%s:%d", localhost, port)
	if o.kubeconfigOut != "" {
		o.notef("The API of %s is on port %d; use it with: kubectl --kubeconfig %s get namespaces", o.key, port, o.kubeconfigOut)
		return
	}
	o.notef("The API of %s is on port %d; make a kubeconfig for it with:\n  %s kubeconfig %s -n %s --server https://%s:%d --tls-server-name %s --output %s.kubeconfig",
		o.key, port, o.program, o.key.Name, o.key.Namespace, localhost, port, inClusterServerName, o.key.Name)
}
