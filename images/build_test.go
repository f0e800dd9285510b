package main

import (
	"errors"
	"strings"
	"testing"
)

func TestLDFlags(t *testing.T) {
	got := ldflags("v0.1.0", "v1.36.3")
	for _, want := range []string{
		"-X github.com/teapot-cloud/teapot/internal/version.Version=v0.1.0",
		"-X k8s.io/component-base/version.gitVersion=v1.36.3",
		"-X k8s.io/component-base/version.gitMinor=36",
		"-X k8s.io/client-go/pkg/version.gitMajor=1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	if err != nil || len(all) != len(table) {
		t.Errorf("%v, %v", all, err)
	}
	for _, name := range []string{"teapot-manager", "teapot-gateway"} {
		one, err := choose([]string{name})
		if err != nil || len(one) != 1 || one[0].name != name {
			t.Errorf("%v, %v", one, err)
		}
	}
	if _, err := choose([]string{"teapot"}); !errors.Is(err, errUsage) {
		t.Errorf("error %v, want a usage error", err)
	}
}

func TestSpec(t *testing.T) {
	s := spec(image{name: "teapot-manager"}, "/b", "linux/arm64", "v1")
	if s.User != "65532:65532" || s.Entrypoint[0] != "/teapot-manager" || s.Files[0].Path != "/teapot-manager" {
		t.Errorf("%+v", s)
	}
}
