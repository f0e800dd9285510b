package apiserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingAssetsFail, and the error says what to do.
func TestMissingAssetsFail(t *testing.T) {
	for name, assets := range map[string]string{"unset": "", "empty": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(AssetsVariable, assets)
			if _, _, err := Start(); err == nil || !strings.Contains(err.Error(), "make assets") {
				t.Errorf("got %v, want an error that says `make assets`", err)
			}
		})
	}
}

// TestSweep: what a killed run left goes, what a running one uses stays.
func TestSweep(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	dead := filepath.Join(temporary, directoryPrefix+"999999999-1")
	running := filepath.Join(temporary, directoryPrefix+"1-1")
	for _, directory := range []string{dead, running} {
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if _, err := os.Stat(dead); err == nil {
		t.Errorf("%s is still there", dead)
	}
	if _, err := os.Stat(running); err != nil {
		t.Error(err)
	}
}
