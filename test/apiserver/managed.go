package apiserver

import (
	"context"
	"flag"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Manager is what RunManaged runs beside the tests, mostly a controller-runtime manager.
type Manager interface {
	Start(context.Context) error
}

// RunManaged starts a server and then the manager that prepare makes, runs a package's tests, ends
// both and returns the exit code. prepare may return no manager. What goes wrong before or after
// the tests is a panic: no test can tell of it.
func RunManaged(m *testing.M, prepare func(*rest.Config) (Manager, error)) int {
	flag.Parse()
	config, stop, err := Start()
	if err != nil {
		panic(err)
	}
	defer mustEnd(stop)
	manager, err := prepare(config)
	if err != nil {
		panic(err)
	}
	if manager != nil {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- manager.Start(ctx) }()
		defer mustEnd(func() error { cancel(); return <-ended })
	}
	return m.Run()
}

func mustEnd(end func() error) {
	if err := end(); err != nil {
		panic(err)
	}
}

// Eventually looks at a condition of the server's state until it holds.
func Eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// Change writes a change to the newest state of an object.
func Change(t testing.TB, c client.Client, object client.Object, what func()) {
	t.Helper()
	change(t, c, object, what, func(patch client.Patch) error { return c.Patch(t.Context(), object, patch) })
}

// ChangeStatus writes a change to the newest status of an object.
func ChangeStatus(t testing.TB, c client.Client, object client.Object, what func()) {
	t.Helper()
	change(t, c, object, what, func(patch client.Patch) error { return c.Status().Patch(t.Context(), object, patch) })
}

func change(t testing.TB, c client.Reader, object client.Object, what func(), write func(client.Patch) error) {
	t.Helper()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	before := object.DeepCopyObject().(client.Object)
	what()
	if err := write(client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
