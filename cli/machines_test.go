package cli

import (
	"strings"
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// bareMetal is a host that is free, of 8 CPUs and 15.5 GiB.
func bareMetal(name string, change ...func(*host.Object)) *host.Object {
	o := &host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: name, Labels: map[string]string{teapotv1.FailureDomainLabel: "rack-1"}}}
	o.Status.OperationalStatus = metal3v1.OperationalStatusOK
	o.Status.Provisioning.State = metal3v1.StateAvailable
	o.Status.HardwareDetails = &metal3v1.HardwareDetails{RAMMebibytes: 15900, CPU: metal3v1.CPU{Arch: "x86_64", Count: 8}}
	for _, each := range change {
		each(o)
	}
	return o
}

func held(kind, namespace, name string) func(*host.Object) {
	return func(o *host.Object) {
		o.Spec.ConsumerRef = &corev1.ObjectReference{APIVersion: teapotv1.GroupVersion.String(), Kind: kind, Namespace: namespace, Name: name}
		o.Status.Provisioning.State = metal3v1.StateProvisioned
	}
}

func annotated(name, value string) func(*host.Object) {
	return func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, name, value) }
}

func withGPUs(o *host.Object) {
	o.Labels[teapotv1.GPUCountLabel], o.Labels[teapotv1.GPUModelLabel] = "8", "H100"
	o.Status.HardwareDetails = &metal3v1.HardwareDetails{RAMMebibytes: 524288, CPU: metal3v1.CPU{Arch: "x86_64", Count: 64}}
}

// theHosts are one of each fate.
func theHosts() []runtime.Object {
	return []runtime.Object{
		bareMetal("a-free", annotated(teapotv1.CostAnnotation, "7.5")),
		bareMetal("b-held", held("MachineClaim", "tenants", "web-1")),
		bareMetal("c-foreign", held("Metal3Machine", "capm3", "x")),
		bareMetal("d-unclean", annotated(teapotv1.UncleanedForAnnotation, "acme/acme-uid")),
		bareMetal("e-gpus", withGPUs),
		bareMetal("f-paused", annotated(metal3v1.PausedAnnotation, "")),
		bareMetal("g-broken", func(o *host.Object) {
			o.Status.OperationalStatus, o.Status.ErrorType = metal3v1.OperationalStatusError, metal3v1.PowerManagementError
			o.Status.ErrorMessage = "the \x1b[31mBMC\n does not answer"
		}),
		bareMetal("h-new", func(o *host.Object) {
			o.Status.HardwareDetails, o.Status.Provisioning.State, o.Labels = nil, metal3v1.StateInspecting, nil
		}),
		&host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "z-own", Labels: map[string]string{"rack": "r7"}}},
	}
}

// row has the words of a table's line in their order.
func row(words ...string) string { return strings.Join(words, " ") }

// squeezed are the lines of a text with single spaces.
func squeezed(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return lines.String()
}

func TestGetHosts(t *testing.T) {
	for _, test := range []struct {
		name, args string
		setup      func(*fakeAPI)
		code       int
		want       []string
		wantNot    []string
		stderr     string
	}{
		{name: "all", args: "hosts -A", want: []string{
			row("NAMESPACE", "NAME", "STATE", "HELD BY", "HARDWARE", "FAILURE DOMAIN", "CLAIMABLE\n"),
			row("metal", "a-free", "available", "-", "8 CPU x86_64, 16Gi", "rack-1", "yes\n"),
			row("metal", "b-held", "provisioned", "tenants/web-1", "8 CPU x86_64, 16Gi", "rack-1", "no: taken\n"),
			row("metal", "c-foreign", "provisioned", "Metal3Machine capm3/x", "8 CPU x86_64, 16Gi", "rack-1", "no: taken\n"),
			row("metal", "d-unclean", "available", "-", "8 CPU x86_64, 16Gi", "rack-1", "in namespace acme only: not clean\n"),
			row("metal", "e-gpus", "available", "-", "64 CPU x86_64, 512Gi, 8 H100", "rack-1", "yes\n"),
			row("f-paused", "available", "-", "8 CPU x86_64, 16Gi", "rack-1", "no: paused\n"),
			row("g-broken", "available", "-", "8 CPU x86_64, 16Gi", "rack-1", "no: with errors\n"),
			row("h-new", "inspecting", "-", "not inspected", "-", "no: not available yet\n"),
			row("tenants", "z-own", "-", "-", "not inspected", "-", "no: not available yet\n"),
			"\n\n" + row("HARDWARE", "FREE", "HELD", "NOT CLAIMABLE", "TOTAL\n"),
			row("8 CPU x86_64, 16Gi", "2", "2", "2", "6\n") + row("64 CPU x86_64, 512Gi, 8 H100", "1", "0", "0", "1\n") + row("not inspected", "0", "0", "2", "2\n"),
		}, wantNot: []string{"BMC"}},
		{name: "wide", args: "bmh -A -o wide", want: []string{
			row("CLAIMABLE", "COST", "POWER", "ERROR\n"), row("a-free", "available", "-", "8 CPU x86_64, 16Gi", "rack-1", "yes", "7.5", "off", "-\n"),
			row("no: with errors", "12", "off", "power management error the ^[[31mBMC does not answer\n"),
		}},
		{name: "of a namespace", args: "hosts", want: []string{"z-own"}, wantNot: []string{"a-free"}},
		{name: "by label", args: "hosts -A -l rack=r7", want: []string{"z-own"}, wantNot: []string{"a-free"}},
		{name: "by name", args: "hosts a-free e-gpus -n metal", want: []string{"a-free", "e-gpus"}, wantNot: []string{"b-held"}},
		{name: "by a name that is not there", args: "hosts a-free nobody -n metal", code: exitFailed, want: []string{"a-free"}, stderr: `host "nobody" not found in namespace "metal" (context "test"); see all that there are with: teapot get hosts -A`},
		{name: "none", args: "hosts -n empty", stderr: "No hosts found in empty namespace. Those of all: teapot get hosts -A"},
		{name: "none at all", args: "hosts -A -l rack=r8", stderr: "No hosts found."},
		{name: "a tenant", args: "hosts -A", setup: func(f *fakeAPI) { f.refuse = forbid("baremetalhosts") }, code: exitFailed, stderr: "hosts are the operators': the right to list baremetalhosts.metal3.io is missing, which the ClusterRole teapot-operator has; your own machines are shown by: teapot get claims"},
		{name: "without Metal3", args: "hosts -A", setup: func(f *fakeAPI) { f.withoutMetal3 = true }, code: exitFailed, stderr: "Metal3 is not installed in this cluster (context \"test\")"},
		{name: "another format", args: "hosts -o json", code: exitUsage, stderr: "must be wide; kubectl get baremetalhosts has every other format"},
		{name: "a selector that is none", args: "hosts -l a=b=c", code: exitUsage, stderr: `--selector "a=b=c"`},
		{name: "a name everywhere", args: "hosts a -A", code: exitUsage, stderr: "exclude each other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, theHosts()...)
			if test.setup != nil {
				test.setup(api)
			}
			code, stdout, stderr := run(t, api, append([]string{"get"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, squeezed(stdout), test.want...)
			wantText(t, stderr, test.stderr)
			for _, not := range test.wantNot {
				if strings.Contains(stdout, not) {
					t.Errorf("has %q:\n%s", not, stdout)
				}
			}
		})
	}
}

// machineClaim is a claim of the namespace in use.
func machineClaim(name string, change ...func(*teapotv1.MachineClaim)) *teapotv1.MachineClaim {
	c := &teapotv1.MachineClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, CreationTimestamp: metav1.NewTime(noon)},
		Spec: teapotv1.MachineClaimSpec{HostRequest: teapotv1.HostRequest{
			Image: teapotv1.Image{URL: "oci://registry.example.com/node:v1.36.3"}, ProvisioningTimeout: "1h",
		}},
	}
	for _, each := range change {
		each(c)
	}
	return c
}

func TestGetClaims(t *testing.T) {
	api := newFakeAPI(t, machineClaim("web-1"), machineClaim("web-2"), controlPlane("acme"))
	for _, args := range []string{"get claims -o name", "get mc -o name", "get claims mc/web-1 web-2 -o name"} {
		code, stdout, stderr := run(t, api, strings.Fields(args)...)
		wantCode(t, exitDone, code, stderr)
		if want := "machineclaim.teapot.dev/web-1\nmachineclaim.teapot.dev/web-2\n"; stdout != want {
			t.Errorf("%s: got %q, want %q", args, stdout, want)
		}
	}
	code, _, stderr := run(t, api, "get", "claims", "web-3")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `machineclaim "web-3" not found in namespace "tenants" (context "test"); see all that there are with: teapot get claims -A`)
	code, _, stderr = run(t, api, "get", "claims", "tcp/acme")
	wantCode(t, exitUsage, code, stderr)
	wantText(t, stderr, `"tcp/acme" is not the name of a claim: write NAME or mc/NAME`)
	api.installed = false
	code, _, stderr = run(t, api, "describe", "claim", "web-1")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "Teapot is not installed in this cluster", "the kind MachineClaim is not known")
}

func TestDescribeClaim(t *testing.T) {
	since := func(minutes int) *metav1.Time {
		return ptr.To(metav1.NewTime(time.Now().Add(-time.Duration(minutes)*time.Minute - time.Second)))
	}
	conditions := func(c *teapotv1.MachineClaim, all ...metav1.Condition) { c.Status.Conditions = all }
	provisioning := func(c *teapotv1.MachineClaim) {
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: teapotv1.GroupVersion.String(), Kind: "HostMachine", Name: "web-1", Controller: ptr.To(true)}}
		c.Annotations = map[string]string{teapotv1.FailedHostsAnnotation: "metal/x,metal/y"}
		bound := condition(teapotv1.HostBoundCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "holds host metal/b-held")
		bound.LastTransitionTime = *since(20)
		conditions(c, bound, condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonProvisioning, "host metal/b-held is \x1b[31mprovisioning"))
		c.Status.Phase, c.Status.PhaseSince, c.Status.HostState = teapotv1.ClaimProvisioning, since(5), "provisioning"
		c.Status.Host = &teapotv1.HostReference{Namespace: "metal", Name: "b-held"}
		c.Status.Hardware = &teapotv1.HardwareSummary{CPUs: 8, Architecture: "x86_64", Memory: resource.NewQuantity(16<<30, resource.BinarySI), Disks: 1, NICs: 4}
		c.Status.FailureDomain = "rack-1"
	}
	pending := func(c *teapotv1.MachineClaim) {
		c.Spec.Hardware.Memory = ptr.To(resource.MustParse("64Gi"))
		conditions(c, condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoHost, "8 hosts: 7 too little memory, 1 not inspected yet"))
		c.Status.Phase, c.Status.PhaseSince = teapotv1.ClaimPending, since(3)
	}
	releasing := func(c *teapotv1.MachineClaim) {
		c.DeletionTimestamp, c.Finalizers = since(10), []string{teapotv1.MachineClaimFinalizer}
		conditions(c, condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonCleaningFailed, "host metal/b-held could not be cleaned"))
		c.Status.Phase, c.Status.PhaseSince, c.Status.PoweredOn = teapotv1.ClaimReleasing, since(10), true
		c.Status.Host = &teapotv1.HostReference{Namespace: "metal", Name: "b-held"}
	}
	allow := &host.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "tenants"}}
	allow.Spec.HostClaimNamespaces = &metal3v1.HostClaimNamespaces{HasLabels: []metal3v1.NameValuePair{{Name: "hosts"}}}
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenants", Labels: map[string]string{"hosts": "all"}}}

	for _, test := range []struct {
		name, args string
		claim      *teapotv1.MachineClaim
		setup      func(*fakeAPI)
		code       int
		// want are texts in their order.
		want    []string
		wantNot []string
		stderr  string
	}{
		{name: "provisioning", args: "claim web-1", claim: machineClaim("web-1", provisioning), want: []string{
			row("Name:", "web-1\n"), row("Made for:", "HostMachine web-1\n"), row("Phase:", "Provisioning, for 5m"),
			row("Time limit:"), "(in 39m): a host that does not run the image by then is given back\n",
			row("Host:", "metal/b-held (provisioning)\n"), row("Hardware:", "8 CPU x86_64, 16Gi, 1 disk, 4 network interfaces\n"), row("Failure domain:", "rack-1\n"),
			row("Power:", "off, though it should be on\n"), row("Tried before:", "metal/x, metal/y (2 of at most 3)\n"), row("Image:", "oci://registry.example.com/node:v1.36.3\n"),
			"What to do:\n", "wait: a host takes minutes", "kubectl describe bmh b-held -n metal\n",
			"Asked for (spec):\n", "provisioningTimeout: 1h\n",
			"Conditions:\n", "HostBound True Ready 20m", "is ^[[31mprovisioning\n",
			"Events of web-1:\n", "Binding machineclaim/web-1 took host metal/b-held\n",
		}, wantNot: []string{"may claim:", "of another"}},
		{name: "no host fits, and why not each", args: "mc mc/web-1", claim: machineClaim("web-1", pending), want: []string{
			row("Phase:", "Pending, for 3m"), row("Host:", "none\n"), "What to do:\n", "To ask for less, make a new claim",
			"Hosts that namespace tenants may claim:\n", "metal/e-gpus suffices, and is the next to be taken\n",
			row("HOST", "STATE", "HARDWARE", "FAILURE DOMAIN", "NOT TAKEN BECAUSE\n"),
			row("metal/a-free", "available", "8 CPU x86_64, 16Gi", "rack-1", "too little memory\n"),
			row("metal/e-gpus", "available", "64 CPU x86_64, 512Gi, 8 H100", "rack-1", "-\n"),
			row("metal/h-new", "inspecting", "not inspected", "-", "not inspected yet\n"), "tenants/z-own",
		}},
		{name: "no policy lets it in", args: "claim web-1", claim: machineClaim("web-1", pending), setup: func(f *fakeAPI) { f.remove("hostdeploypolicies", "metal", "tenants") }, want: []string{
			"1 host: 1 not inspected yet\n", "tenants/z-own",
		}, wantNot: []string{"metal/a-free"}},
		{name: "a tenant", args: "claim web-1", claim: machineClaim("web-1", pending), setup: func(f *fakeAPI) { f.refuse = forbid("baremetalhosts") }, want: []string{
			"8 hosts: 7 too little memory, 1 not inspected yet", "not shown: hosts are the operators'", "teapot-operator",
		}},
		{name: "going", args: "claim web-1", claim: machineClaim("web-1", releasing), want: []string{
			row("Being deleted:", "since"), "(10m), kept by finalizers teapot.dev/machine-claim\n", row("Phase:", "Releasing, for 10m"),
			"(in 19m): the claim then ends without the host, which stays held until it is clean\n", row("Power:", "on\n"), "A host that cannot be cleaned",
		}},
		{name: "as early as can be", args: "claim web-1 --show-events=false", claim: machineClaim("web-1"), want: []string{
			row("Phase:", "not looked at yet: check that Teapot's manager runs\n"), "none yet: check that Teapot's manager runs\n",
		}, wantNot: []string{"Events", "What to do"}},
		{name: "no name", args: "claim", claim: machineClaim("web-1"), code: exitUsage, stderr: "the name of a claim is missing: teapot describe claim NAME..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			binding := event("web-1", teapotv1.ReasonBinding, "took host metal/b-held", 1)
			binding.InvolvedObject.Kind, binding.Namespace = "MachineClaim", "tenants"
			api := newFakeAPI(t, append(theHosts(), test.claim, allow, labelled, binding, event("web-1", "Other", "of another kind", 1))...)
			if test.setup != nil {
				test.setup(api)
			}
			code, stdout, stderr := run(t, api, append([]string{"describe"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr)
			rest := squeezed(stdout)
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("lacks %q, or has it earlier, in:\n%s", want, stdout)
				}
				rest = after
			}
			for _, not := range test.wantNot {
				if strings.Contains(stdout, not) {
					t.Errorf("has %q:\n%s", not, stdout)
				}
			}
		})
	}
}
