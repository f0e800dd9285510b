package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

const (
	// tick is the interval of the questions that stop a clock: the resolution of every
	// figure of time.
	tick = 50 * time.Millisecond
	// patience is how long one question may take: an answer that hangs must not hide the
	// next one, which would come at once.
	patience = 500 * time.Millisecond
	// readyWithin is how long a control plane may take before the bench gives up.
	readyWithin = 3 * time.Minute
)

// question is a request that a control plane answers with 200 when it is there.
type question struct {
	url string
	tls *tls.Config
}

// readyz asks the API server at an address whether it is ready, as anybody.
func readyz(address string, ca []byte) (question, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return question{}, errors.New("the authority's certificate cannot be read")
	}
	return question{"https://" + address + "/readyz", &tls.Config{RootCAs: roots}}, nil
}

// questions are the two that a user asks: whether the API server is ready, and for the namespaces,
// which needs the user's rights and etcd.
func questions(config *rest.Config) (ready, namespaces question, err error) {
	secured, err := rest.TLSConfigFor(config)
	if err != nil {
		return ready, namespaces, fmt.Errorf("reading a user's kubeconfig: %w", err)
	}
	return question{config.Host + "/readyz", secured}, question{config.Host + "/api/v1/namespaces", secured}, nil
}

// answered asks each tick until the answer is 200, and returns when that was.
func (q question) answered(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	// The node ports are inside the development cluster's network.
	return q.answeredTo(ctx, &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: netdial.DialContext, TLSClientConfig: q.tls,
	}})
}

func (q question) answeredTo(ctx context.Context, asking *http.Client) (time.Time, error) {
	defer asking.CloseIdleConnections()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for last := error(nil); ; {
		err := q.ask(ctx, asking)
		if err == nil {
			return time.Now(), nil
		}
		// An API server that answers "not yet" is asked again on the same connection: twenty
		// handshakes a second, ten times over, would slow down what they measure.
		if !errors.As(err, new(notYet)) {
			asking.CloseIdleConnections()
		}
		// The question that the deadline cuts off says nothing of the control plane.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for %s to answer: %w; at last: %w", q.url, ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

func (q question) ask(ctx context.Context, asking *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url, nil)
	if err != nil {
		return err
	}
	response, err := asking.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return notYet{response.Status}
	}
	return nil
}

// notYet is an answer other than 200.
type notYet struct{ status string }

func (n notYet) Error() string { return n.status }
