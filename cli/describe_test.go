package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// event is a warning about a control plane, or about a pod of acme, some minutes after noon.
func event(object, reason, message string, minutes int) *corev1.Event {
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: acme.Namespace, Name: object + "." + reason},
		InvolvedObject: corev1.ObjectReference{Kind: controlPlaneKind.Kind, Namespace: acme.Namespace, Name: object},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message,
		EventTime: metav1.NewMicroTime(noon.Add(time.Duration(minutes) * time.Minute)),
	}
	if object == "etcd-0" {
		e.Namespace, e.InvolvedObject.Kind = controlplane.Namespace(acme), "Pod"
	}
	return e
}

// running is acme as it is when all is there.
func running() *teapotv1.TenantControlPlane {
	tcp := controlPlane("acme", ready,
		condition(teapotv1.DatastoreReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoQuorum, strings.Repeat("of three members two must run ", 6)))
	tcp.CreationTimestamp = metav1.NewTime(noon)
	tcp.Spec.Replicas = ptr.To[int32](2)
	tcp.Spec.Datastore.Etcd = teapotv1.EtcdSpec{Members: 3, StorageSize: resource.MustParse("8Gi")}
	tcp.Status.Version = "v1.36.2"
	tcp.Status.Namespace = controlplane.Namespace(acme)
	tcp.Status.ReadyReplicas, tcp.Status.EtcdReadyMembers = 1, 2
	tcp.Status.Endpoint = &teapotv1.EndpointStatus{URL: "https://acme.example.com:6443", Host: "acme.example.com", Address: "192.0.2.1", Port: 6443, KonnectivityPort: 8132}
	tcp.Status.CertificatesExpire = ptr.To(metav1.NewTime(noon))
	tcp.Status.Secrets = &teapotv1.SecretsStatus{UserKubeconfig: "acme-user-kubeconfig", Kubeconfig: "acme-kubeconfig", CertificateAuthority: "acme-ca"}
	return tcp
}

// forbid refuses requests whose path has a part.
func forbid(parts ...string) func(*http.Request) *apierrors.StatusError {
	return func(r *http.Request) *apierrors.StatusError {
		for _, part := range parts {
			if strings.Contains(r.URL.Path, part) {
				return apierrors.NewForbidden(schema.GroupResource{Resource: part}, "", nil)
			}
		}
		return nil
	}
}

func TestDescribe(t *testing.T) {
	etcd := troubled("etcd-0", corev1.ConditionFalse, crashing)
	newAPI := func(t *testing.T) *fakeAPI {
		return newFakeAPI(t, running(), &etcd, controlPlane("globex"),
			event("acme", "Repaired", "the Service was \x1b[31mchanged", 2), event("acme", "NoQuorum", "no member answers", 1), event("etcd-0", "BackOff", "restarting", 1),
			event("globex", "Other", "of another control plane", 1))
	}
	own := controlplane.Namespace(acme)
	for _, test := range []struct {
		name, args string
		refuse     func(*http.Request) *apierrors.StatusError
		code       int
		// want are texts in their order.
		want   []string
		not    string
		stderr string
	}{
		{name: "all of it", args: "tcp acme", want: []string{
			"Name:", "acme\n", "Version:", "v1.36.2, on its way to v1.36.3", "Endpoint:", "https://acme.example.com:6443", "192.0.2.1:6443", "port 8132",
			own, "1 of 2 ready", "2 of 3 ready", "2025-11-21T12:00:00Z (expired)", "acme-user-kubeconfig (kubeconfig of users)", "acme-ca (",
			"Asked for (spec):", "storageSize: 8Gi", "version: v1.36.3",
			"Conditions:", "TYPE", "Ready", "True", "DatastoreReady", "False", "NoQuorum", "of three members two must run of three", "\n   ", "of three members",
			"Pods in namespace " + own + ":", "etcd-0", "Running", "no", "  kube-apiserver", "CrashLoopBackOff", "3", "Error, exit code 1",
			"Events of acme:", "NoQuorum", "tenantcontrolplane/acme", "no member answers", "Repaired", "the Service was ^[[31mchanged",
			"Events in namespace " + own + ":", "BackOff", "pod/etcd-0", "restarting",
		}, not: "of another control plane"},
		{name: "without events", args: "acme --show-events=false", want: []string{"etcd-0"}, not: "Events"},
		{name: "a tenant", args: "tcp/acme", refuse: forbid(own), want: []string{
			"Pods in namespace " + own + ":\n  not shown: the right to list pods in namespace \"" + own + "\" is missing\n",
			"no member answers", "Events in namespace " + own + ":\n  not shown: the right to list events in namespace \"" + own + "\" is missing\n",
		}},
		{name: "as early as can be", args: "globex", want: []string{"v1.36.3 (does not run yet)", "not known yet", "0 of 1 ready", "none yet: check that Teapot's manager runs", "Pods in namespace", "  none\n"}},
		{name: "two, one of which is not there", args: "globex initech acme", code: exitFailed, want: []string{"globex\n", "\n\nName:", "acme\n"}, stderr: `tenantcontrolplane "initech" not found`},
		{name: "no name", args: "tcp", code: exitUsage, stderr: "the name of a control plane is missing: teapot describe NAME..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newAPI(t)
			api.refuse = test.refuse
			code, stdout, stderr := run(t, api, append([]string{"describe"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr)
			rest := stdout
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("lacks %q, or has it earlier, in:\n%s", want, stdout)
				}
				rest = after
			}
			if test.not != "" && strings.Contains(stdout, test.not) {
				t.Errorf("has %q:\n%s", test.not, stdout)
			}
			for line := range strings.Lines(stdout) {
				if len(line) > 160 {
					t.Errorf("a line of %d characters: %s", len(line), line)
				}
			}
		})
	}
}
