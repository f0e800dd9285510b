package oci

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push sends an image or index to its registry with the credentials of `docker
// login` and its helpers.
func Push(ctx context.Context, reference string, artifact Artifact) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return fmt.Errorf("parsing %q: %w", reference, err)
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	switch a := artifact.(type) {
	case v1.Image:
		err = remote.Write(ref, a, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, a, options...)
	default:
		return fmt.Errorf("%T is neither an image nor an index", artifact)
	}
	if err != nil {
		return fmt.Errorf("pushing %s: %w", reference, err)
	}
	return nil
}
