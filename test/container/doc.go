// Package container builds the container image where there is no registry, runs it in a
// network namespace, and has a real client get its lease from it: make container-test.
package container
