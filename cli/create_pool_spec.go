package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// poolFlags are the flags of "create pool" that make a spec. As with specFlags the schema is the
// judge of values.
type poolFlags struct {
	controlPlane, version          string
	replicas, min, max             int32
	image, checksum, format        string
	cpus, gpus                     int32
	memory, gpuModel               string
	selector                       string
	failureDomain                  string
	maxPerDomain                   []string
	labels                         map[string]string
	taints                         []string
	maxSurge, maxUnavailable       string
	drainTimeout, unhealthyTimeout time.Duration
	provisioningTimeout            string
	noRemediation                  bool
}

var (
	imageFormats = []string{"raw", "qcow2", "vdi", "vmdk"}
	taintEffects = []string{string(corev1.TaintEffectNoSchedule), string(corev1.TaintEffectPreferNoSchedule), string(corev1.TaintEffectNoExecute)}
)

func (s *poolFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&s.controlPlane, "control-plane", "", "Control plane `NAME` that the machines join (default: the only one of the namespace)")
	flags.Int32Var(&s.replicas, "replicas", 0, "Number `N` of machines")
	flags.Int32Var(&s.min, "min", 0, "Least number `N` of machines, where the Cluster Autoscaler decides")
	flags.Int32Var(&s.max, "max", 0, "Greatest number `N` of machines, where the Cluster Autoscaler decides")
	flags.StringVar(&s.version, "version", "", "Kubernetes `VERSION` of the image (default: the control plane's)")
	flags.StringVar(&s.image, "image", "", "`URL` of the disk image: http, https or oci")
	flags.StringVar(&s.checksum, "checksum", "", "The image's SHA-256 or SHA-512 `SUM`; needed unless the image is from a registry (oci)")
	flags.StringVar(&s.format, "format", "", "`FORMAT` of the image: "+strings.Join(imageFormats, ", ")+" (default: what it is found to be)")
	flags.Int32Var(&s.cpus, "cpu", 0, "Least number `N` of processors (threads) of a machine")
	flags.StringVar(&s.memory, "memory", "", "Least `AMOUNT` of memory of a machine, for example 64Gi")
	flags.Int32Var(&s.gpus, "gpus", 0, "Least number `N` of accelerators of a machine")
	flags.StringVar(&s.gpuModel, "gpu-model", "", "`MODEL` of the accelerators, for example H100")
	flags.StringVar(&s.selector, "selector", "", "Labels that hosts must have, a `SELECTOR` as kubectl's: example.com/rack=r7, 'class in (a, b)', '!old'")
	flags.StringVar(&s.failureDomain, "failure-domain", "", "Failure domain `NAME` in which all machines must be (default: spread over all)")
	flags.StringArrayVar(&s.maxPerDomain, "max-per-domain", nil, "At most N machines on hosts with the same value of a label, as `LABEL=N`; can be repeated")
	flags.StringToStringVar(&s.labels, "label", nil, "Label of the Nodes, as `KEY=VALUE`; can be repeated")
	flags.StringArrayVar(&s.taints, "taint", nil, "Taint of the Nodes, as `KEY[=VALUE]:EFFECT`; can be repeated")
	flags.StringVar(&s.maxSurge, "max-surge", "", "How many machines, a `NUMBER` or percentage, may be added while others are replaced; needs hosts to spare (default 0)")
	flags.StringVar(&s.maxUnavailable, "max-unavailable", "", "How many machines, a `NUMBER` or percentage, may be missing while they are replaced (default 1, or 0 with --max-surge)")
	flags.DurationVar(&s.drainTimeout, "drain-timeout", 0, "How long pods may take to leave a machine (default 10m)")
	flags.StringVar(&s.provisioningTimeout, "provisioning-timeout", "", "How long (`DURATION`) one host may take until it runs the image; then another is tried (default 1h)")
	flags.DurationVar(&s.unhealthyTimeout, "unhealthy-timeout", 0, "How long a Node may be not ready until its machine is replaced (default 5m)")
	flags.BoolVar(&s.noRemediation, "no-remediation", false, "Do not replace machines that failed")

	// The flags were just added, so registering cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(imageFormats, cobra.ShellCompDirectiveNoFileComp))
}

// spec returns the spec that the flags ask for, with nothing in it that no flag named. What was not
// given and is the API server's to know, the control plane and its version, is not in it.
func (s *poolFlags) spec(flags *pflag.FlagSet) (map[string]any, error) {
	if err := s.checkSize(flags); err != nil {
		return nil, err
	}
	if s.image == "" {
		return nil, fmt.Errorf("--image is missing: the URL of the disk image that the machines run")
	}
	format, err := oneOf("--format", s.format, imageFormats)
	if err != nil {
		return nil, err
	}
	if s.memory != "" {
		if _, err := resource.ParseQuantity(s.memory); err != nil {
			return nil, fmt.Errorf("--memory %q: must be an amount, for example 64Gi", s.memory)
		}
	}
	hosts, err := hostSelector(s.selector)
	if err != nil {
		return nil, err
	}
	spread, err := spreadOf(s.maxPerDomain)
	if err != nil {
		return nil, err
	}
	taints, err := taintsOf(s.taints)
	if err != nil {
		return nil, err
	}
	for name, given := range map[string]time.Duration{"drain-timeout": s.drainTimeout, "unhealthy-timeout": s.unhealthyTimeout} {
		if flags.Changed(name) && (given < time.Second || given%time.Second != 0) {
			return nil, fmt.Errorf("--%s %s: must be whole seconds, at least one, for example 10m", name, given)
		}
	}
	nodeLabels := map[string]any{}
	for key, value := range s.labels {
		nodeLabels[key] = value
	}

	spec := map[string]any{}
	return spec, setChanged(spec, flags, []specField{
		{"control-plane", s.controlPlane, []string{"controlPlaneName"}},
		{"version", withV(s.version), []string{"version"}},
		{"replicas", int64(s.replicas), []string{"replicas"}},
		{"min", int64(s.min), []string{"autoscaling", "minReplicas"}},
		{"max", int64(s.max), []string{"autoscaling", "maxReplicas"}},
		{"image", s.image, []string{"image", "url"}},
		{"checksum", s.checksum, []string{"image", "checksum"}},
		{"format", format, []string{"image", "format"}},
		{"cpu", int64(s.cpus), []string{"hardware", "cpu", "minCount"}},
		{"memory", s.memory, []string{"hardware", "memory"}},
		{"gpus", int64(s.gpus), []string{"hardware", "gpus", "minCount"}},
		{"gpu-model", s.gpuModel, []string{"hardware", "gpus", "model"}},
		{"selector", hosts, []string{"hostSelector"}},
		{"failure-domain", s.failureDomain, []string{"failureDomain"}},
		{"max-per-domain", spread, []string{"spread"}},
		{"label", nodeLabels, []string{"labels"}},
		{"taint", taints, []string{"taints"}},
		{"max-surge", numberOrPercent(s.maxSurge), []string{"strategy", "maxSurge"}},
		{"max-unavailable", numberOrPercent(s.maxUnavailable), []string{"strategy", "maxUnavailable"}},
		{"drain-timeout", int64(s.drainTimeout / time.Second), []string{"deletion", "nodeDrainTimeoutSeconds"}},
		{"provisioning-timeout", s.provisioningTimeout, []string{"provisioningTimeout"}},
		{"unhealthy-timeout", int64(s.unhealthyTimeout / time.Second), []string{"remediation", "unhealthyTimeoutSeconds"}},
		{"no-remediation", !s.noRemediation, []string{"remediation", "enabled"}},
	})
}

// checkSize refuses anything but a number of machines, or both bounds.
func (s *poolFlags) checkSize(flags *pflag.FlagSet) error {
	number, least, most := flags.Changed("replicas"), flags.Changed("min"), flags.Changed("max")
	switch {
	case number && (least || most):
		return fmt.Errorf("--replicas excludes --min and --max: give a number of machines, or the bounds within which the Cluster Autoscaler decides")
	case !number && !least && !most:
		return fmt.Errorf("the number of machines is missing: --replicas N, or --min N and --max N for the Cluster Autoscaler")
	case least != most:
		return fmt.Errorf("--min and --max go together: the Cluster Autoscaler needs both bounds")
	}
	return nil
}

// hostSelector is a label selector as a pool's spec has it.
func hostSelector(text string) (map[string]any, error) {
	requirements, err := labels.ParseToRequirements(text)
	if err != nil {
		return nil, fmt.Errorf("--selector %q: %w", text, err)
	}
	matchLabels, expressions := map[string]any{}, []any{}
	for _, requirement := range requirements {
		var values []any
		for _, value := range requirement.Values().List() {
			values = append(values, value)
		}
		expression := map[string]any{"key": requirement.Key()}
		switch requirement.Operator() {
		case selection.Equals, selection.DoubleEquals:
			if _, twice := matchLabels[requirement.Key()]; twice {
				return nil, fmt.Errorf("--selector %q: label %s cannot have two values; for one of several write '%s in (A, B)'", text, requirement.Key(), requirement.Key())
			}
			matchLabels[requirement.Key()] = values[0]
			continue
		case selection.In:
			expression["operator"], expression["values"] = "In", values
		case selection.NotIn, selection.NotEquals:
			expression["operator"], expression["values"] = "NotIn", values
		case selection.Exists:
			expression["operator"] = "Exists"
		case selection.DoesNotExist:
			expression["operator"] = "DoesNotExist"
		default:
			return nil, fmt.Errorf("--selector %q: labels of hosts cannot be compared by %q", text, requirement.Operator())
		}
		expressions = append(expressions, expression)
	}
	selector := map[string]any{}
	if len(matchLabels) > 0 {
		selector["matchLabels"] = matchLabels
	}
	if len(expressions) > 0 {
		selector["matchExpressions"] = expressions
	}
	return selector, nil
}

// spreadOf reads --max-per-domain.
func spreadOf(values []string) ([]any, error) {
	spread := []any{}
	for _, value := range values {
		label, number, _ := strings.Cut(value, "=")
		most, err := strconv.ParseInt(number, 10, 32)
		if err != nil || label == "" {
			return nil, fmt.Errorf("--max-per-domain %q: write LABEL=N, for example example.com/rack=2", value)
		}
		spread = append(spread, map[string]any{"topologyKey": label, "maxPerDomain": most})
	}
	return spread, nil
}

// taintsOf reads --taint, which is written as "kubectl taint" has it.
func taintsOf(values []string) ([]any, error) {
	taints := []any{}
	for _, value := range values {
		what, effect, found := strings.Cut(value, ":")
		key, of, hasValue := strings.Cut(what, "=")
		if !found || key == "" || effect == "" {
			return nil, fmt.Errorf("--taint %q: write KEY=VALUE:EFFECT or KEY:EFFECT, for example dedicated=db:NoSchedule", value)
		}
		effect, err := oneOf("--taint "+strconv.Quote(value)+": effect", effect, taintEffects)
		if err != nil {
			return nil, err
		}
		taint := map[string]any{"key": key, "effect": effect}
		if hasValue {
			taint["value"] = of
		}
		taints = append(taints, taint)
	}
	return taints, nil
}

// numberOrPercent is a number where the text is one, as a manifest has it.
func numberOrPercent(text string) any {
	if value := intstr.Parse(text); value.Type == intstr.Int {
		return int64(value.IntVal)
	}
	return text
}
