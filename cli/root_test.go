package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/teapot-cloud/teapot/internal/version"
	"github.com/teapot-cloud/teapot/test/output"
)

func TestGet(t *testing.T) {
	other := controlPlane("other", ready)
	other.Namespace = "elsewhere"
	labelled := controlPlane("globex", ready)
	labelled.Labels = map[string]string{"team": "red"}
	api := newFakeAPI(t, controlPlane("acme", ready), labelled, other)
	for _, test := range []struct {
		name, args string
		code       int
		want       []string
		wantNot    []string
		stderr     string
	}{
		{name: "of the namespace", args: "", want: []string{"NAME", "VERSION", "acme", "globex"}, wantNot: []string{"other"}},
		{name: "with the kind", args: "tcp", want: []string{"acme", "globex"}},
		{name: "one", args: "acme", want: []string{"acme", "v1.36.3"}, wantNot: []string{"globex"}},
		{name: "two, with the kind", args: "tcp acme globex", want: []string{"acme", "globex"}},
		{name: "everywhere", args: "-A", want: []string{"NAMESPACE", "elsewhere", "other", "acme"}},
		{name: "by label", args: "-l team=red", want: []string{"globex"}, wantNot: []string{"acme"}},
		{name: "another namespace", args: "-n elsewhere -o name", want: []string{"tenantcontrolplane.teapot.dev/other\n"}},
		{name: "names", args: "-o name", want: []string{"tenantcontrolplane.teapot.dev/acme\ntenantcontrolplane.teapot.dev/globex\n"}},
		{name: "yaml", args: "acme -o yaml", want: []string{"kind: TenantControlPlane", "version: v1.36.3"}},
		{name: "json", args: "-o json", want: []string{`"kind": "List"`}},
		{name: "jsonpath", args: "acme -o jsonpath={.spec.version}", want: []string{"v1.36.3"}},
		{name: "nothing there", args: "-n empty", stderr: "No resources found in empty namespace."},
		{name: "no such name", args: "initech", code: exitFailed, stderr: `tenantcontrolplane "initech" not found in namespace "tenants" (context "test")`},
		{name: "which is no error", args: "initech --ignore-not-found"},
		{name: "unknown format", args: "-o table", code: exitUsage, stderr: `output format "table"`},
		{name: "a name everywhere", args: "acme -A", code: exitUsage, stderr: "exclude each other"},
		{name: "another kind", args: "pods/acme", code: exitUsage, stderr: `"pods/acme" is not the name of a control plane`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, api, append([]string{"get"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.want...)
			wantText(t, stderr, test.stderr)
			for _, not := range test.wantNot {
				if strings.Contains(stdout, not) {
					t.Errorf("has %q:\n%s", not, stdout)
				}
			}
		})
	}
}

func TestNotInstalled(t *testing.T) {
	api := newFakeAPI(t)
	api.installed = false
	for _, args := range []string{"get", "get acme", "wait acme", "create tcp acme", "delete acme --yes", "delete acme --yes --ignore-not-found", "wait acme --for=deleted", "proxy acme", "kubeconfig acme"} {
		t.Run(args, func(t *testing.T) {
			code, _, stderr := run(t, api, strings.Fields(args)...)
			wantCode(t, exitFailed, code, stderr)
			wantText(t, stderr, `Teapot is not installed in this cluster (context "test")`, "helm install teapot")
		})
	}
}

func TestNoCluster(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, nil, "wait", "acme", "--kubeconfig", empty)
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "no management cluster is configured")

	api := newFakeAPI(t)
	api.server.Close()
	code, _, stderr = run(t, api, "wait", "acme")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `the management cluster (context "test") does not answer`, "connection refused")

	code, _, stderr = run(t, api, "wait", "acme", "--context", "nowhere")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "specified context: nowhere; see those that there are")
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args         string
		code         int
		stdout, want string
	}{
		{args: "", stdout: "Control planes and machines:"},
		{args: "--help", stdout: "Control planes and machines:"},
		{args: "help wait", stdout: "teapot wait NAME..."},
		{args: "options", stdout: "--context"},
		{args: "completion bash", stdout: "__start_teapot"},
		{args: "creat", code: exitUsage, want: "Did you mean this?\n\tcreate"},
		{args: "wait acme --fro=ready", code: exitUsage, want: "unknown flag: --fro\nSee 'teapot wait --help' for usage."},
		{args: "version acme", code: exitUsage, want: `takes no arguments, not "acme"`},
		{args: "version -o table", code: exitUsage, want: `--output "table": must be json or yaml`},
		{args: "completion", code: exitUsage, want: "name one shell"},
		{args: "completion tcsh", code: exitUsage, want: `shell "tcsh": must be one of`},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := run(t, nil, strings.Fields(test.args)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.stdout)
			wantText(t, stderr, test.want)
		})
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := run(t, nil, "version", "-o", "json")
	wantCode(t, exitDone, code, stderr)
	var info versionInfo
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || info.Version != version.Version || info.GoVersion == "" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPlugin(t *testing.T) {
	var out, errOut output.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}
	if code := Main(t.Context(), []string{"/usr/local/bin/kubectl-teapot", "wait", "--help"}, streams); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	wantText(t, out.String(), "kubectl teapot wait NAME...", "  kubectl teapot wait acme\n", `Use "kubectl teapot options"`)
	if strings.Contains(out.String(), "kubectl-teapot") {
		t.Errorf("names the file and not the command:\n%s", out.String())
	}

	out, errOut = output.Buffer{}, output.Buffer{}
	if code := Main(t.Context(), []string{"kubectl_complete-teapot", "del"}, streams); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	wantText(t, out.String(), "delete\t")
}

func TestCompleteNames(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme"), controlPlane("acorn"), controlPlane("globex"))
	for _, test := range []struct{ name, args, want string }{
		{"all, and kinds", "wait|", "pool\nacme\nacorn\nglobex\n:4"},
		{"by prefix", "wait|ac", "acme\nacorn\n:4"},
		{"without those named", "wait|acme|", "acorn\nglobex\n:4"},
		{"only one is taken", "kubeconfig|acme|", ":4"},
		{"contexts", "get|--context|", "test\n:4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{cobra.ShellCompNoDescRequestCmd, "--kubeconfig", api.kubeconfig}, strings.Split(test.args, "|")...)
			code, stdout, stderr := run(t, nil, args...)
			wantCode(t, exitDone, code, stderr)
			if strings.TrimSpace(stdout) != test.want {
				t.Errorf("got %q, want %q", stdout, test.want)
			}
		})
	}
}

// Every command has help with examples, and says what its flags do.
func TestHelpIsComplete(t *testing.T) {
	root := NewCommand(genericiooptions.NewTestIOStreamsDiscard(), programName)
	forEach(root, func(cmd *cobra.Command) {
		switch cmd.Name() {
		case "help", "options", "create", "scale", "__complete":
			return
		}
		if cmd.Short == "" || !cmd.HasExample() || strings.Contains(cmd.Example+cmd.Long, "{teapot}") {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
	})
}
