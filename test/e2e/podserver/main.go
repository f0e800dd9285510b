// Command podserver is what the end-to-end tests run in pods on machines: a web server, an
// admission webhook and an aggregated API, and a client that uses its pod's configuration.
// Nothing upstream does all of it without an etcd, and machines have no registry to pull from.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// limit bounds one call of a client.
const limit = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) == 2 && args[0] == "get":
		return get(ctx, args[1])
	case len(args) == 2 && args[0] == "pods":
		return pods(ctx, args[1])
	}
	return fmt.Errorf("usage: podserver serve DIRECTORY | get URL | pods NAMESPACE, not %q", args)
}

// get prints what is at an address.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// inCluster is a client by what every pod is given.
func inCluster() (*kubernetes.Clientset, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// pods prints the names of a namespace's pods.
func pods(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client, err := inCluster()
	if err != nil {
		return err
	}
	list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, pod := range list.Items {
		fmt.Println(pod.Name)
	}
	return nil
}
