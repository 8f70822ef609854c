// Package packages installs what a release is made of, and has real clients get their leases
// from it: make package-test.
package packages
