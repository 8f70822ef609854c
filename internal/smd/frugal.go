package smd

import "runtime/debug"

// A poll of many machines holds an inventory and the octets of another. While it
// runs, garbage is collected earlier than usual: that costs the poll some time
// and keeps the peak of the whole process down.
const (
	frugalMachines = 20_000
	frugalPercent  = 25
)

// frugal has garbage collected earlier until the function it returns is called,
// if there are that many machines. One process has one inventory, so polls that
// do this never overlap.
func frugal(machines int) (end func()) {
	if machines < frugalMachines {
		return func() {}
	}
	usual := debug.SetGCPercent(frugalPercent)
	if usual >= 0 && usual < frugalPercent {
		debug.SetGCPercent(usual)
	}
	return func() { debug.SetGCPercent(usual) }
}
