// Package bootstrap says what a machine is told besides its user data, so that it joins under
// the right name: meta data, provider id, and which bootstrap token it used. It takes values
// and returns values.
package bootstrap
