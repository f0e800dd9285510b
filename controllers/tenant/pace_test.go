package tenant

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func pemOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// slowTenant answers what it is asked and hangs when something is applied, until the test ends.
func slowTenant(t *testing.T) Access {
	t.Helper()
	ended := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPatch:
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		case strings.HasSuffix(r.URL.Path, "/nodes"):
			none := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
			if err := asMetadata.Encode(none, w); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	return Access{URL: server.URL, ServerName: "127.0.0.1", CA: pemOf(server.Certificate())}
}

func openAs(t *testing.T, registry *Registry, name string, a Access) *Session {
	t.Helper()
	owner := types.NamespacedName{Namespace: "acme", Name: name}
	session, err := registry.Open(owner, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close(owner) })
	return session
}

func someMaps(name string) []unstructured.Unstructured {
	var objects []unstructured.Unstructured
	for i := range 5 {
		objects = append(objects, configMap(fmt.Sprintf("%s-%d", name, i), map[string]any{"a": "1"}))
	}
	return objects
}

func appliedWithin(t *testing.T, session *Session, limit time.Duration, c *Content) {
	t.Helper()
	within(t, limit, "the objects to be applied", func() error {
		if !isApplied(c)(session.Observe()) {
			return fmt.Errorf("observation is %+v", session.Observe())
		}
		return nil
	})
}

// TestTenantsThatHangHoldNobodyUp: they take every turn that there is, and more of them wait.
func TestTenantsThatHangHoldNobodyUp(t *testing.T) {
	for name, settled := range map[string]bool{"new": false, "settled": true} {
		t.Run(name, func(t *testing.T) {
			registry := NewRegistry(newFastClock())
			for i := range freshSlots + settledSlots + 3 {
				hanging := content(t, someMaps("hanging"), nil)
				hanging.Settled = settled
				openAs(t, registry, fmt.Sprintf("hanging-%d", i), slowTenant(t)).Want(hanging)
			}
			healthy := content(t, someMaps("healthy"), nil)
			healthy.Settled = settled
			session := openAs(t, registry, "healthy", access())
			session.Want(healthy)
			// A call that hangs has a time limit by the world's clock, whatever the test's says:
			// each of those before may hold a turn for as long.
			appliedWithin(t, session, speed*(2*callTimeout+20*time.Second), healthy)
		})
	}
}

// TestEverySettledTenantGetsItsTurn: more of them than turns, at the same moment.
func TestEverySettledTenantGetsItsTurn(t *testing.T) {
	registry := NewRegistry(newFastClock())
	sessions := map[*Session]*Content{}
	for i := range 4 * settledSlots {
		c := content(t, someMaps(fmt.Sprintf("settled-%d", i)), nil)
		c.Settled = true
		session := openAs(t, registry, fmt.Sprintf("settled-%d", i), access())
		session.Want(c)
		sessions[session] = c
	}
	for session, c := range sessions {
		appliedWithin(t, session, 300*time.Second, c)
	}
}

func TestSettledTenantsWaitForATurn(t *testing.T) {
	registry := NewRegistry(newFastClock())
	for range settledSlots {
		registry.pacer.settled <- struct{}{} // others have every turn
	}
	settled := content(t, someMaps("waits"), nil)
	settled.Settled = true
	waits := openAs(t, registry, "waits", access())
	waits.Want(settled)
	fresh := content(t, someMaps("goes-ahead"), nil)
	session := openAs(t, registry, "goes-ahead", access())
	session.Want(fresh)
	appliedWithin(t, session, 300*time.Second, fresh)
	within(t, 300*time.Second, "an answer to the one that waits", func() error {
		if o := waits.Observe(); !o.Answered {
			return fmt.Errorf("observation is %+v", o)
		}
		return nil
	})
	if o := waits.Observe(); o.Applied != "" {
		t.Error("it did not wait for a turn")
	}
	<-registry.pacer.settled
	appliedWithin(t, waits, 300*time.Second, settled)
}
