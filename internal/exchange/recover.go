package exchange

import (
	"encoding/hex"
	"runtime/debug"
)

// Recover keeps a panic from ending the process: CoreDHCP calls handlers in
// goroutines of their own and recovers nothing. Defer it directly. It calls
// onPanic with the value and the stack.
func Recover(onPanic func(value any, stack []byte)) {
	if v := recover(); v != nil {
		onPanic(v, debug.Stack())
	}
}

// Dump returns the octets of a packet in hex, for the log. It never panics:
// the packet may be the reason that somebody else did.
func Dump(packet interface{ ToBytes() []byte }) (text string) {
	defer Recover(func(any, []byte) { text = "unprintable" })
	return hex.EncodeToString(packet.ToBytes())
}
