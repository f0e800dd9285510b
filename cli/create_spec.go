package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// DefaultKubernetesVersion is what "create tcp" asks for unless told otherwise.
const DefaultKubernetesVersion = "v1.36.3"

// specFlags are the flags of "create tcp" that make a spec. The schema is the judge of
// values; here only that is refused which could not be put into a manifest.
type specFlags struct {
	version                                   string
	replicas, port, konnectivityPort, members int32
	endpointType, host                        string
	subjectAltNames                           []string
	serviceCIDR, podCIDR, dnsDomain           string
	storageSize, storageClass                 string
	noCoreDNS, noKubeProxy, noKonnectivity    bool
	runtimeClass, deletionPolicy              string
	idleAfter                                 time.Duration
	hibernated                                bool
	requests, limits                          []string
	labels                                    map[string]string
}

// components are the names that --requests and --limits take, upstream's names of the
// components, and the fields of spec.components that they stand for.
var components = map[string]string{
	"kube-apiserver":          "apiServer",
	"kube-controller-manager": "controllerManager",
	"kube-scheduler":          "scheduler",
	"etcd":                    "etcd",
	"konnectivity-server":     "konnectivityServer",
}

var (
	endpointTypes    = []string{string(teapotv1.EndpointNodePort), string(teapotv1.EndpointLoadBalancer), string(teapotv1.EndpointClusterIP)}
	deletionPolicies = []string{string(teapotv1.DeletionPolicyDelete), string(teapotv1.DeletionPolicyRetain)}
)

func (s *specFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&s.version, "kubernetes-version", DefaultKubernetesVersion, "Kubernetes `VERSION` of the control plane")
	flags.Int32Var(&s.replicas, "replicas", 0, "Number `N` of control-plane pods (default 1)")
	flags.StringVar(&s.endpointType, "endpoint-type", "", "How machines and users come, a `TYPE`: NodePort, LoadBalancer or ClusterIP (default NodePort)")
	flags.StringVar(&s.host, "host", "", "IP address or DNS `NAME` of the endpoint (default: found by Teapot)")
	flags.Int32Var(&s.port, "port", 0, "`PORT` of the API (default: a free node port, or 6443)")
	flags.Int32Var(&s.konnectivityPort, "konnectivity-port", 0, "`PORT` for konnectivity agents (default: a free node port, or 8132)")
	flags.StringSliceVar(&s.subjectAltNames, "san", nil, "Further DNS `NAME` or IP address that the API's certificate is valid for; can be repeated")
	flags.StringVar(&s.serviceCIDR, "service-cidr", "", "Range (`CIDR`) of Service addresses (default 10.96.0.0/16)")
	flags.StringVar(&s.podCIDR, "pod-cidr", "", "Range (`CIDR`) of pod addresses (default 10.244.0.0/16)")
	flags.StringVar(&s.dnsDomain, "dns-domain", "", "DNS `DOMAIN` of the cluster (default cluster.local)")
	flags.Int32Var(&s.members, "etcd-members", 0, "Number `N` of etcd members: 1, or 3 to survive the loss of one (default 1)")
	flags.StringVar(&s.storageSize, "etcd-storage-size", "", "`SIZE` of each etcd member's volume (default 8Gi)")
	flags.StringVar(&s.storageClass, "etcd-storage-class", "", "StorageClass `NAME` of etcd's volumes (default: the management cluster's)")
	flags.BoolVar(&s.noCoreDNS, "no-coredns", false, "Do not install CoreDNS")
	flags.BoolVar(&s.noKubeProxy, "no-kube-proxy", false, "Do not install kube-proxy")
	flags.BoolVar(&s.noKonnectivity, "no-konnectivity", false, "Run without konnectivity: logs, exec, webhooks and aggregated APIs then do not work")
	flags.StringArrayVar(&s.requests, "requests", nil, "Resource requests, as `COMPONENT=LIST`, the LIST being cpu=AMOUNT,memory=AMOUNT; can be repeated")
	flags.StringArrayVar(&s.limits, "limits", nil, "Resource limits, as `COMPONENT=LIST`, the LIST being cpu=AMOUNT,memory=AMOUNT; can be repeated")
	flags.StringVar(&s.runtimeClass, "runtime-class", "", "RuntimeClass `NAME` of the control plane's pods, for example kata")
	flags.StringVar(&s.deletionPolicy, "deletion-policy", "", "What becomes of etcd's volumes and the keys on deletion, a `POLICY`: Delete or Retain (default Delete)")
	flags.DurationVar(&s.idleAfter, "idle-after", 0, "Let it sleep when nobody has used it for this `DURATION`, for example 1h; a user's request wakes it (default: it does not sleep)")
	flags.BoolVar(&s.hibernated, "hibernated", false, "Make it asleep: nothing runs before it is woken; --wait waits until it is known to be so")
	flags.StringToStringVar(&s.labels, "labels", nil, "Labels of the object, as `KEY=VALUE,...`")

	// The flags were just added, so registering cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("endpoint-type", cobra.FixedCompletions(endpointTypes, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("deletion-policy", cobra.FixedCompletions(deletionPolicies, cobra.ShellCompDirectiveNoFileComp))
}

// spec returns the spec that the flags ask for, with nothing in it that no flag named:
// defaults belong to the schema.
func (s *specFlags) spec(flags *pflag.FlagSet) (map[string]any, error) {
	endpointType, err := oneOf("--endpoint-type", s.endpointType, endpointTypes)
	if err != nil {
		return nil, err
	}
	deletionPolicy, err := oneOf("--deletion-policy", s.deletionPolicy, deletionPolicies)
	if err != nil {
		return nil, err
	}
	if s.storageSize != "" {
		if _, err := resource.ParseQuantity(s.storageSize); err != nil {
			return nil, fmt.Errorf("--etcd-storage-size %q: must be an amount, for example 8Gi", s.storageSize)
		}
	}
	sans := make([]any, 0, len(s.subjectAltNames))
	for _, name := range s.subjectAltNames {
		sans = append(sans, name)
	}

	spec := map[string]any{"version": withV(s.version)}
	if err := setChanged(spec, flags, []specField{
		{"replicas", int64(s.replicas), []string{"replicas"}},
		{"endpoint-type", endpointType, []string{"endpoint", "type"}},
		{"host", s.host, []string{"endpoint", "host"}},
		{"port", int64(s.port), []string{"endpoint", "port"}},
		{"konnectivity-port", int64(s.konnectivityPort), []string{"endpoint", "konnectivityPort"}},
		{"san", sans, []string{"endpoint", "subjectAltNames"}},
		{"service-cidr", s.serviceCIDR, []string{"network", "serviceCIDR"}},
		{"pod-cidr", s.podCIDR, []string{"network", "podCIDR"}},
		{"dns-domain", s.dnsDomain, []string{"network", "dnsDomain"}},
		{"etcd-members", int64(s.members), []string{"datastore", "etcd", "members"}},
		{"etcd-storage-size", s.storageSize, []string{"datastore", "etcd", "storageSize"}},
		{"etcd-storage-class", s.storageClass, []string{"datastore", "etcd", "storageClassName"}},
		{"no-coredns", !s.noCoreDNS, []string{"addons", "coreDNS", "enabled"}},
		{"no-kube-proxy", !s.noKubeProxy, []string{"addons", "kubeProxy", "enabled"}},
		{"no-konnectivity", !s.noKonnectivity, []string{"addons", "konnectivity", "enabled"}},
		{"runtime-class", s.runtimeClass, []string{"runtimeClassName"}},
		{"deletion-policy", deletionPolicy, []string{"deletionPolicy"}},
		{"idle-after", s.idleAfter.String(), []string{"hibernation", "idleAfter"}},
		{"hibernated", s.hibernated, []string{"hibernation", "enabled"}},
	}); err != nil {
		return nil, err
	}
	if err := setAmounts(spec, "requests", s.requests); err != nil {
		return nil, err
	}
	return spec, setAmounts(spec, "limits", s.limits)
}

// specField is where the value of a flag stands in a spec.
type specField struct {
	flag  string
	value any
	path  []string
}

// setChanged puts the values of the flags that were given into a spec.
func setChanged(spec map[string]any, flags *pflag.FlagSet, fields []specField) error {
	for _, field := range fields {
		if !flags.Changed(field.flag) {
			continue
		}
		if err := unstructured.SetNestedField(spec, field.value, field.path...); err != nil {
			return fmt.Errorf("--%s: %w", field.flag, err)
		}
	}
	return nil
}

// setAmounts puts the values of --requests or --limits into spec.components.
func setAmounts(spec map[string]any, kind string, values []string) error {
	for _, value := range values {
		component, amounts, ok := strings.Cut(value, "=")
		if !ok || amounts == "" {
			return fmt.Errorf("--%s %q: write COMPONENT=cpu=AMOUNT,memory=AMOUNT, for example etcd=memory=1Gi", kind, value)
		}
		field, known := components[component]
		if !known {
			return fmt.Errorf("--%s %q: unknown component %q, must be one of %s", kind, value, component, strings.Join(sortedKeys(components), ", "))
		}
		for _, amount := range strings.Split(amounts, ",") {
			name, quantity, _ := strings.Cut(amount, "=")
			if name != "cpu" && name != "memory" {
				return fmt.Errorf("--%s %q: unknown resource %q, must be cpu or memory", kind, value, name)
			}
			if _, err := resource.ParseQuantity(quantity); err != nil {
				return fmt.Errorf("--%s %q: %q is not an amount of %s; write for example cpu=250m or memory=512Mi", kind, value, quantity, name)
			}
			if err := unstructured.SetNestedField(spec, quantity, "components", field, "resources", kind, name); err != nil {
				return fmt.Errorf("--%s %q: %w", kind, value, err)
			}
		}
	}
	return nil
}

// withV is a version with the v that people leave out.
func withV(version string) string {
	if version != "" && version[0] >= '0' && version[0] <= '9' {
		return "v" + version
	}
	return version
}

// oneOf returns the allowed value that was meant, whatever its case; an empty value is
// left to the caller.
func oneOf(flag, value string, allowed []string) (string, error) {
	if value == "" {
		return "", nil
	}
	for _, candidate := range allowed {
		if strings.EqualFold(value, candidate) {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s %q: must be one of %s", flag, value, strings.Join(allowed, ", "))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
