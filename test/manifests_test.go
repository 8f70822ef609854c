package test

import "testing"

// Podman makes a service of the container unit, and Kubernetes knows every field of the
// manifests. The tests are in a module of their own, which keeps both out of coresmd's.
func TestManifests(t *testing.T) {
	t.Parallel()
	runIn(t, "../tools/manifests", "go", "test", "-count=1", "./...")
}
