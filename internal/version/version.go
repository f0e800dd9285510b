// Package version holds the version that every Teapot binary answers with.
package version

// Version is Teapot's own version. It is set at link time
// (-ldflags "-X github.com/teapot-cloud/teapot/internal/version.Version=v0.1.0");
// a build without the flag says "dev".
var Version = "dev"
