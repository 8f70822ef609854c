//go:build !race

package smd

import "testing"

// peakLimit is what a process may hold at most while such an inventory changes.
const peakLimit = 120 << 20

// TestPeak holds the memory of a process to its limit while a large inventory
// changes.
func TestPeak(t *testing.T) {
	took, peak := costOf(t, "changed")
	t.Logf("%d interfaces: a changed poll takes %v, the process held %d MB at most", costMachines, took, peak>>20)
	if peak > peakLimit {
		t.Errorf("%d MB, want at most %d", peak>>20, peakLimit>>20)
	}
}
