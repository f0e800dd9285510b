package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// groupVersion is the aggregated API's.
const groupVersion = "pods.e2e.teapot.dev/v1"

// Where the server listens: for anybody, and for API servers.
const (
	plainAddress   = ":8080"
	securedAddress = ":8443"
)

// serve serves until ctx ends. The directory has tls.crt and tls.key.
func serve(ctx context.Context, directory string) error {
	front, err := frontProxies(ctx)
	if err != nil {
		return err
	}
	name, err := os.Hostname() // the pod's
	if err != nil {
		return err
	}
	plain := http.NewServeMux()
	plain.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	secured := http.NewServeMux()
	secured.HandleFunc("POST /validate", refuseByName)
	secured.HandleFunc("GET /apis/"+groupVersion, func(w http.ResponseWriter, _ *http.Request) { reply(w, resources()) })
	secured.HandleFunc("GET /apis/"+groupVersion+"/greetings", greet)
	servers := []*http.Server{
		{Addr: plainAddress, Handler: plain, ReadHeaderTimeout: limit},
		{Addr: securedAddress, Handler: logged(secured), ReadHeaderTimeout: limit, TLSConfig: &tls.Config{
			// Webhooks are called without a certificate.
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: front,
		}},
	}
	ended := make(chan error, len(servers))
	go func() { ended <- servers[0].ListenAndServe() }()
	go func() {
		ended <- servers[1].ListenAndServeTLS(filepath.Join(directory, corev1.TLSCertKey), filepath.Join(directory, corev1.TLSPrivateKeyKey))
	}()
	slog.Info("serving", "pod", name)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	var problems []error
	for _, server := range servers {
		problems = append(problems, server.Close())
	}
	return errors.Join(problems...)
}

// frontProxies are the authorities of those that may say who a user is. API servers publish
// them for aggregated APIs.
func frontProxies(ctx context.Context) (*x509.CertPool, error) {
	client, err := inCluster()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	config, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(config.Data["requestheader-client-ca-file"])) {
		return nil, fmt.Errorf("ConfigMap %s/%s has no requestheader-client-ca-file", config.Namespace, config.Name)
	}
	return pool, nil
}

// logged writes a line for every request of API servers.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slog.Info("asked", "method", r.Method, "path", r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

// refuseByName is an admission webhook that refuses objects whose name says so.
func refuseByName(w http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil || review.Request == nil {
		http.Error(w, fmt.Sprint("not an AdmissionReview: ", err), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{
		UID: review.Request.UID, Allowed: !strings.Contains(review.Request.Name, "refused"),
		Result: &metav1.Status{Message: "a pod's webhook says no"},
	}
	reply(w, review)
}

// resources is what the aggregated API has.
func resources() *metav1.APIResourceList {
	return &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: groupVersion,
		APIResources: []metav1.APIResource{{Name: "greetings", SingularName: "greeting", Kind: "Greeting", Verbs: metav1.Verbs{"list"}}},
	}
}

// greet greets the user that the API server names, if it is the API server that asks.
func greet(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.VerifiedChains) == 0 {
		http.Error(w, "only API servers are answered", http.StatusUnauthorized)
		return
	}
	reply(w, &metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{Kind: "GreetingList", APIVersion: groupVersion},
		Items: []metav1.PartialObjectMetadata{{
			TypeMeta:   metav1.TypeMeta{Kind: "Greeting", APIVersion: groupVersion},
			ObjectMeta: metav1.ObjectMeta{Name: r.Header.Get("X-Remote-User"), CreationTimestamp: metav1.NewTime(time.Now())},
		}},
	})
}

// reply answers with JSON. A client that has gone away is no error of ours.
func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
