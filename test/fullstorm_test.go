//go:build storm

package test

import "testing"

// The full storm. Server and machines share two cores here: they, not the link, may be what
// limits it, and then a server without the budget loses nothing either. So there is none beside
// it.
func TestTFTPStormFull(t *testing.T) {
	if c := tftpStorm(t, fullStorm, budgetFor(fullStorm)); len(c.gaveUp) != 0 {
		t.Errorf("gave up %v", c.gaveUp)
	}
}

// As many as two cores bear at the speed of the link.
func TestTFTPStormContrast(t *testing.T) { contrast(t, fullStorm/8) }
