package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// mergeIntoDefault is the value of --merge without one: the file that kubectl writes to.
const mergeIntoDefault = "default"

// kubeconfigOptions is "kubeconfig".
type kubeconfigOptions struct {
	*environment
	merge, output         string
	contextName           string
	setCurrent, force     bool
	direct                bool
	server, tlsServerName string

	key types.NamespacedName
}

func newKubeconfigCommand(e *environment) *cobra.Command {
	o := &kubeconfigOptions{environment: e}
	cmd := &cobra.Command{
		Use:   "kubeconfig NAME [options]",
		Short: "Print a control plane's kubeconfig, or add it to yours",
		Long: e.long(`
			Print the kubeconfig of a control plane's users, write it to a file, or merge it
			into one as a context of its own. It holds a credential: files are written with
			mode 0600, and a context that belongs to another cluster is not replaced.

			Where there is a gateway, users come through it, by the name that the kubeconfig has as
			tls-server-name: that is use, and wakes a control plane that sleeps if it may be woken
			so. With --direct they come by the address that machines use: such requests count for
			no use and wake nothing, and while the control plane sleeps nothing answers there.

			--server and --tls-server-name change the kubeconfig that is printed; which
			management cluster is asked is said by --kubeconfig and --context alone.`),
		Example: e.examples(`
			# Print it
			{teapot} kubeconfig acme

			# Add it to your kubeconfig as context "acme", and switch to it
			{teapot} kubeconfig acme --merge --set-current

			# Into a file of its own
			{teapot} kubeconfig acme --output acme.kubeconfig

			# Into another file, as context "prod"
			{teapot} kubeconfig acme --merge=team.kubeconfig --context-name prod

			# By the machines' address, for a monitor that is not to keep it awake
			{teapot} kubeconfig acme --direct --output monitor.kubeconfig

			# Through a tunnel of yours; the certificate is checked against the API's real name
			{teapot} kubeconfig acme --server https://127.0.0.1:16443`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNames(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.merge, "merge", "", "Merge into `FILE`; without one, into the file that kubectl uses")
	flags.Lookup("merge").NoOptDefVal = mergeIntoDefault
	flags.StringVarP(&o.output, "output", "o", "", "Write to `FILE`, which then holds this context alone")
	flags.StringVar(&o.contextName, "context-name", "", "`NAME` of the context (default: the name of the control plane)")
	flags.BoolVar(&o.setCurrent, "set-current", false, "With --merge: make it the current context")
	flags.BoolVar(&o.force, "force", false, "Replace a context or file that belongs to another cluster")
	flags.BoolVar(&o.direct, "direct", false, "By the machines' address (status.endpoint.url) and not through the gateway: does not count as use, and wakes nothing")
	// These two take the place of kubectl's flags of the same names in this command.
	flags.StringVar(&o.server, "server", "", "`URL` to put in place of the API's own address, https://HOST:PORT")
	flags.StringVar(&o.tlsServerName, "tls-server-name", "", "`NAME` to check the API's certificate against (default with --server: the host that it replaces)")
	return cmd
}

func (o *kubeconfigOptions) Complete(cmd *cobra.Command, args []string) error {
	name, err := oneName(cmd, args)
	if err != nil {
		if o.merge == mergeIntoDefault && len(args) == 2 {
			return usagef("--merge takes its file after an equals sign: --merge=%s", args[1])
		}
		return err
	}
	namespace, _, err := o.namespace()
	if err != nil {
		return err
	}
	o.key = types.NamespacedName{Namespace: namespace, Name: name}
	if o.contextName == "" {
		o.contextName = name
	}
	return nil
}

func (o *kubeconfigOptions) Validate() error {
	switch {
	case o.merge != "" && o.output != "":
		return errors.New("--merge and --output exclude each other: --merge keeps what is in the file, --output replaces it")
	case o.setCurrent && o.merge == "":
		return errors.New("--set-current is for --merge: without it the context is the only one, and current")
	case o.direct && o.server != "":
		return errors.New("--direct and --server exclude each other: both say by which address the API is reached")
	case o.force && o.merge == "" && o.output == "":
		return errors.New("--force is for --merge and --output")
	case slices.Contains([]string{"yaml", "json", "name"}, o.output):
		return fmt.Errorf("--output %s: is the name of a file here, and the kubeconfig is printed as YAML without it; write ./%s if that is the file", o.output, o.output)
	}
	if o.server == "" {
		return nil
	}
	server, err := url.Parse(o.server)
	if err != nil || server.Scheme != "https" || server.Hostname() == "" {
		return fmt.Errorf("--server %q: must be a URL with scheme https and a host, for example https://127.0.0.1:16443", o.server)
	}
	return nil
}

func (o *kubeconfigOptions) Run(ctx context.Context) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	config, err := o.userKubeconfig(ctx, c, o.key)
	if err != nil {
		return err
	}
	if o.direct {
		if err := o.lead(ctx, c, config); err != nil {
			return err
		}
	}
	config, err = singleContext(config, o.contextName, o.server, o.tlsServerName)
	if err != nil {
		return fmt.Errorf("kubeconfig of %s %q: %w", controlPlaneWord, o.key.Name, err)
	}
	switch {
	case o.output != "":
		if err := replaceKubeconfig(o.output, config, o.force); err != nil {
			return err
		}
		o.notef("Wrote %s; use it with: kubectl --kubeconfig %s get namespaces", o.output, o.output)
	case o.merge != "":
		file := o.merge
		if file == mergeIntoDefault {
			file = defaultKubeconfigFile(o.flags.KubeConfig)
		}
		current, err := mergeKubeconfig(file, config, o.setCurrent, o.force)
		if err != nil {
			return err
		}
		if current {
			o.notef("Merged into %s; %q is its current context", file, o.contextName)
		} else {
			o.notef("Merged into %s; use it with: kubectl --context %s get namespaces", file, o.contextName)
		}
	default:
		text, err := clientcmd.Write(*config)
		if err != nil {
			return err
		}
		_, err = o.Out.Write(text)
		return err
	}
	return nil
}

// lead has a kubeconfig lead to the address that machines use, whose host is in the API's certificate.
func (o *kubeconfigOptions) lead(ctx context.Context, c client.Client, config *clientcmdapi.Config) error {
	var tcp teapotv1.TenantControlPlane
	if err := c.Get(ctx, o.key, &tcp); err != nil {
		return err
	}
	if tcp.Status.Endpoint == nil {
		return fmt.Errorf("%s %q in namespace %q has no address yet (status.endpoint):\n%s", controlPlaneWord, o.key.Name, o.key.Namespace, o.because(controlPlanes, stateOf(&tcp), readyGoal()))
	}
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.TLSServerName = tcp.Status.Endpoint.URL, ""
	}
	if isSleeping(&tcp) {
		o.notef("%s %s", o.key.Name, stateOf(&tcp).sleepText(o.program))
	}
	return nil
}

// userKubeconfig reads the kubeconfig that a control plane's users get. The Secret is
// asked for first: who may read it need not be able to read the control plane.
func (e *environment) userKubeconfig(ctx context.Context, c client.Client, key types.NamespacedName) (*clientcmdapi.Config, error) {
	name := controlplane.UserKubeconfigName(key.Name)
	var secret corev1.Secret
	err := c.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: name}, &secret)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("the kubeconfig of %s %q is in Secret %q of namespace %q, and you lack the right to get secrets there: %w", controlPlaneWord, key.Name, name, key.Namespace, err)
	case apierrors.IsNotFound(err):
		return nil, e.noKubeconfig(ctx, c, key, name)
	case err != nil:
		return nil, err
	}
	text := secret.Data[controlplane.KubeconfigKey]
	config, err := clientcmd.Load(text)
	if err != nil || len(text) == 0 {
		return nil, fmt.Errorf("Secret %q in namespace %q has no valid kubeconfig under key %q; delete it, and Teapot makes it anew", name, key.Namespace, controlplane.KubeconfigKey)
	}
	if reaches(config) {
		return nil, fmt.Errorf("Secret %q in namespace %q was not written by Teapot: its kubeconfig names a program, a file or a proxy of this computer, or trusts anybody; delete it, and Teapot makes it anew", name, key.Namespace)
	}
	return config, nil
}

// reaches says whether a kubeconfig would have a program run or a file read on this computer,
// or trusts whoever answers. The Secret that it comes from is in the tenant's namespace, where
// others may write.
func reaches(config *clientcmdapi.Config) bool {
	for _, user := range config.AuthInfos {
		if user.Exec != nil || user.AuthProvider != nil || user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "" {
			return true
		}
	}
	for _, cluster := range config.Clusters {
		if cluster.CertificateAuthority != "" || cluster.InsecureSkipTLSVerify || cluster.ProxyURL != "" {
			return true
		}
	}
	return false
}

// noKubeconfig says why there is no Secret.
func (e *environment) noKubeconfig(ctx context.Context, c client.Client, key types.NamespacedName, secret string) error {
	var tcp teapotv1.TenantControlPlane
	if err := c.Get(ctx, key, &tcp); err != nil {
		return err
	}
	return fmt.Errorf("%s %q in namespace %q has no kubeconfig yet (Secret %q):\n%s\nWait for it with: %s wait %s -n %s",
		controlPlaneWord, key.Name, key.Namespace, secret, e.because(controlPlanes, stateOf(&tcp), readyGoal()), e.program, key.Name, key.Namespace)
}

// singleContext returns a kubeconfig with the current context of config alone, under
// another name. server, unless empty, takes the place of the API's address; the
// certificate is then still checked against the host that it replaced, or against
// tlsServerName.
func singleContext(config *clientcmdapi.Config, name, server, tlsServerName string) (*clientcmdapi.Config, error) {
	current := config.Contexts[config.CurrentContext]
	if current == nil {
		return nil, fmt.Errorf("its current context %q is not in it", config.CurrentContext)
	}
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	if cluster == nil || user == nil {
		return nil, fmt.Errorf("its context %q names cluster %q and user %q, of which one is not in it", config.CurrentContext, current.Cluster, current.AuthInfo)
	}
	cluster, user = cluster.DeepCopy(), user.DeepCopy()
	if server != "" {
		old, err := url.Parse(cluster.Server)
		if err != nil {
			return nil, fmt.Errorf("its server %q: %w", cluster.Server, err)
		}
		replacement, err := url.Parse(server)
		if err != nil {
			return nil, err
		}
		if cluster.TLSServerName == "" && old.Hostname() != replacement.Hostname() {
			cluster.TLSServerName = old.Hostname()
		}
		cluster.Server = strings.TrimSuffix(server, "/")
	}
	if tlsServerName != "" {
		cluster.TLSServerName = tlsServerName
	}

	single := clientcmdapi.NewConfig()
	single.Clusters[name] = cluster
	single.AuthInfos[name] = user
	single.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: current.Namespace}
	single.CurrentContext = name
	return single, nil
}

// localKubeconfig is singleContext for an API that is reached on a port of this machine.
func localKubeconfig(config *clientcmdapi.Config, name string, port int) (*clientcmdapi.Config, error) {
	server := url.URL{Scheme: "https", Host: net.JoinHostPort(localhost, fmt.Sprint(port))}
	return singleContext(config, name, server.String(), inClusterServerName)
}
