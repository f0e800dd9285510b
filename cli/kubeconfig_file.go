package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfigMode is the mode of every kubeconfig that is written: it holds a credential.
const kubeconfigMode fs.FileMode = 0o600

// defaultKubeconfigFile is the file that kubectl would write to.
func defaultKubeconfigFile(flag *string) string {
	paths := clientcmd.NewDefaultPathOptions()
	if flag != nil {
		paths.LoadingRules.ExplicitPath = *flag
	}
	return paths.GetDefaultFilename()
}

// mergeKubeconfig adds the one context of added to a file and leaves all else in it as
// it is. It says whether that context is the file's current one afterwards.
func mergeKubeconfig(file string, added *clientcmdapi.Config, setCurrent, force bool) (current bool, err error) {
	err = withLock(file, func() error {
		config, err := readKubeconfig(file)
		if err != nil {
			return err
		}
		name := added.CurrentContext
		if !force {
			if err := conflict(config, added); err != nil {
				return fmt.Errorf("%s: %w; choose another name with --context-name, or replace it with --force", file, err)
			}
		}
		merged := added.Contexts[name].DeepCopy()
		if old := config.Contexts[name]; old != nil && sameCluster(config.Clusters[old.Cluster], added.Clusters[name]) {
			// The namespace of a context is its user's choice.
			merged.Namespace = old.Namespace
		}
		config.Contexts[name] = merged
		config.Clusters[name] = added.Clusters[name]
		config.AuthInfos[name] = added.AuthInfos[name]
		// In a file without any other context there is nothing to preserve.
		if setCurrent || len(config.Contexts) == 1 {
			config.CurrentContext = name
		}
		current = config.CurrentContext == name
		return writeKubeconfig(file, config)
	})
	return current, err
}

// replaceKubeconfig writes a file of its own. A file that is there is replaced if it
// holds nothing but the same cluster.
func replaceKubeconfig(file string, config *clientcmdapi.Config, force bool) error {
	if !force {
		old, err := readKubeconfig(file)
		if err != nil {
			return fmt.Errorf("%w; replace the file with --force", err)
		}
		for name, cluster := range old.Clusters {
			if !sameCluster(cluster, config.Clusters[config.CurrentContext]) {
				return fmt.Errorf("%s: has cluster %q, which is another one; add to the file with --merge=%s, or replace it with --force", file, name, file)
			}
		}
	}
	return writeKubeconfig(file, config)
}

// conflict says why an entry of the same name may not be replaced: it belongs to another
// cluster, or to another context.
func conflict(config, added *clientcmdapi.Config) error {
	name := added.CurrentContext
	cluster := added.Clusters[name]
	if old := config.Contexts[name]; old != nil {
		if !sameCluster(config.Clusters[old.Cluster], cluster) {
			return fmt.Errorf("context %q belongs to another cluster (or to an earlier one of that name)", name)
		}
	}
	if old := config.Clusters[name]; old != nil && !sameCluster(old, cluster) {
		return fmt.Errorf("cluster %q is another one (or an earlier one of that name)", name)
	}
	if config.AuthInfos[name] != nil {
		for contextName, context := range config.Contexts {
			if context.AuthInfo == name && !sameCluster(config.Clusters[context.Cluster], cluster) {
				return fmt.Errorf("user %q is used by context %q, which belongs to another cluster", name, contextName)
			}
		}
	}
	return nil
}

// sameCluster compares by certificate authority, which is a control plane's own and stays
// when its address changes.
func sameCluster(a, b *clientcmdapi.Cluster) bool {
	return a != nil && b != nil && len(a.CertificateAuthorityData) > 0 &&
		bytes.Equal(bytes.TrimSpace(a.CertificateAuthorityData), bytes.TrimSpace(b.CertificateAuthorityData))
}

// readKubeconfig reads a file as it is, without making its relative paths absolute. A
// file that does not exist is empty.
func readKubeconfig(file string) (*clientcmdapi.Config, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return clientcmdapi.NewConfig(), nil
	}
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return nil, fmt.Errorf("%s: is not a kubeconfig: %w", file, err)
	}
	return config, nil
}

// writeKubeconfig replaces a file in one step, so that a reader finds the old content or
// the new one, and a crash leaves one of them.
func writeKubeconfig(file string, config *clientcmdapi.Config) (err error) {
	text, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	// A link stays a link: what it points to is replaced.
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(kubeconfigMode), temporary.Sync(), temporary.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(temporary.Name(), file)
}

// withLock runs do while holding the lock that kubectl takes too when it changes a
// kubeconfig, and makes the directory if there is none.
func withLock(file string, do func() error) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	lock := file + ".lock"
	held, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: is being changed by another program (%s exists); try again, or remove %s if no such program runs", file, lock, lock)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close(), os.Remove(lock)) }()
	return do()
}
