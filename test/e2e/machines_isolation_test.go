package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// nothingOfOthers reads all that is on a tenant's machines, and tries it: no secret of the
// management cluster, of a management controller, of the tenant's own control plane or of another
// tenant may be there, and what opens the tenant's API may open no other.
func nothingOfOthers(t *testing.T, f *fleet, own, other *machinesTenant) {
	forbidden := secretsOf(t, get(t, other.namespace, other.name))
	// What the control plane keeps to itself. The tenant's namespace has what machines are given.
	inside := get(t, own.namespace, own.name)
	inside.Namespace = inside.Status.Namespace
	for secret, where := range secretsOf(t, inside) {
		forbidden[secret] = where
	}
	f.addManagement(t, forbidden)

	accepted := 0
	for _, j := range own.machines(t, len(f.names)) {
		files := f.files(t, j.on)
		found := credentials{}
		for path, content := range files {
			forbidden.mustNotBeIn(t, j.on+":"+path, string(content))
			found.collect(path, content)
		}
		for from, credential := range found {
			if user, err := whoIs(t.Context(), credential, own.config); err == nil && user != userAnonymous {
				accepted++
			}
			opensNothing(t, j.on+":"+from, credential, own, other)
		}
		ironicIsClosed(t, f, j.on)
	}
	// The control: without any, nothing was tried. Each machine has the kubelet's certificate, and
	// the tokens of its pods.
	if accepted < 2*len(f.names) {
		t.Errorf("of what was found on the machines, only %d open the tenant's own API", accepted)
	}
	opensNothing(t, "the tenant's administrator", own.config, own, other)
}

// addManagement adds what opens the management cluster and the management controllers.
func (f *fleet) addManagement(t *testing.T, forbidden private) {
	t.Helper()
	kubeconfig, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	forbidden.add("the management cluster's kubeconfig", kubeconfig)
	machines, err := f.room.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		if len(m.BMC.Password) < 8 {
			t.Fatalf("the password of %s's management controller is short enough to be found by chance", m.Name)
		}
		where := "the management controller of " + m.Name
		forbidden[m.BMC.Password] = where
		forbidden[base64.StdEncoding.EncodeToString([]byte(m.BMC.Password))] = where
	}
}

// files reads a machine: its disk from outside, with the config drive, and what lies in its memory
// from inside. What came with the image is left out: it is everybody's.
func (f *fleet) files(t *testing.T, name string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	disk := filepath.Join(room.MachineDir(f.room.Dir, name), "disk")
	images := map[string]bool{"io.containerd.content.v1.content": true, "io.containerd.snapshotter.v1.overlayfs": true}
	err := filepath.WalkDir(disk, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // the machine runs
		}
		if err != nil || !entry.Type().IsRegular() {
			if err == nil && images[entry.Name()] {
				return fs.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		files[strings.TrimPrefix(path, disk+"/")] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := f.on(t.Context(), name, nil, "tar", "-C", "/", "--ignore-failed-read", "--warning=none", "--exclude=run/containerd/io.containerd.runtime.v2.task/*/*/rootfs",
		"-cf", "-", "run", "tmp", "var/lib/kubelet/pods")
	// 1: files changed while they were read.
	if err != nil && !strings.Contains(err.Error(), "exit status 1:") {
		t.Fatal(err)
	}
	archive := tar.NewReader(strings.NewReader(memory))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			files["in memory: /"+header.Name] = content
		}
	}
	for _, want := range []string{"config-drive", "upper/etc/kubernetes/kubelet.conf"} {
		if len(files[want]) == 0 {
			t.Errorf("%s of %s was not read", want, name)
		}
	}
	return files
}

// credentials are what may open an API, by where they are.
type credentials map[string]*rest.Config

var (
	webToken       = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}`)
	bootstrapToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)
)

// collect adds what is in a file: kubeconfigs, certificates with their keys, and tokens.
func (c credentials) collect(path string, content []byte) {
	if kubeconfig, err := clientcmd.Load(content); err == nil {
		for name, user := range kubeconfig.AuthInfos {
			if user.Token != "" || len(user.ClientKeyData) > 0 {
				c[path+", user "+name] = &rest.Config{BearerToken: user.Token, TLSClientConfig: rest.TLSClientConfig{CertData: user.ClientCertificateData, KeyData: user.ClientKeyData}}
			}
		}
	}
	if _, err := tls.X509KeyPair(content, content); err == nil {
		c[path] = &rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: content, KeyData: content}}
	}
	for _, pattern := range []*regexp.Regexp{webToken, bootstrapToken} {
		for _, token := range pattern.FindAll(content, -1) {
			c[fmt.Sprintf("%s, token %.6s…", path, token)] = &rest.Config{BearerToken: string(token)}
		}
	}
}

const userAnonymous = "system:anonymous"

// at is a client that shows a credential to the API server of another configuration.
func at(credential, server *rest.Config) (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(&rest.Config{
		Host: server.Host, Dial: server.Dial, Timeout: 10 * time.Second, WarningHandler: rest.NoWarnings{},
		BearerToken: credential.BearerToken,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: server.ServerName, CAData: server.CAData, CAFile: server.CAFile,
			CertData: credential.CertData, KeyData: credential.KeyData,
		},
	})
}

// whoIs asks an API server whom it takes the bearer of a credential for.
func whoIs(ctx context.Context, credential, server *rest.Config) (string, error) {
	client, err := at(credential, server)
	if err != nil {
		return "", err
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return review.Status.UserInfo.Username, nil
}

// opensNothing tries a credential on the management cluster and on another tenant's.
func opensNothing(t *testing.T, what string, credential *rest.Config, own, other *machinesTenant) {
	t.Helper()
	for name, server := range map[string]*rest.Config{"the management cluster": config, other.name: other.config} {
		user, err := whoIs(t.Context(), credential, server)
		switch {
		case err == nil && user != userAnonymous:
			t.Errorf("%s is taken for %s by %s", what, user, name)
		case err != nil && !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err):
			t.Errorf("%s was not refused by %s, which was not reached: %v", what, name, err)
		}
		client, err := at(credential, server)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{Limit: 1}); !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) {
			t.Errorf("with %s, Secrets of %s are listed: %v", what, name, err)
		}
	}
}

// ironicIsClosed asks, from a machine, what drives the machines.
func ironicIsClosed(t *testing.T, f *fleet, name string) {
	t.Helper()
	const request, answered = "GET /v1/ HTTP/1.0\r\n\r\n", "X-Openstack-Ironic-Api"
	address := net.JoinHostPort(node.NodeIP, "6385")
	// The control: the node is answered.
	conn, err := netdial.Dialer(node.NetNS)(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := write(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || !bytes.Contains(answer, []byte(answered)) {
		t.Fatalf("Ironic does not answer the node: %v %s", err, answer)
	}
	out, err := f.on(t.Context(), name, []byte(request), "bash", "-c", "exec 3<>/dev/tcp/"+node.NodeIP+"/6385 && cat >&3 && timeout 5 cat <&3")
	if strings.Contains(out, answered) {
		t.Errorf("Ironic answers %s (%v):\n%s", name, err, out)
	}
}
