package exchange

import "runtime/debug"

// Recover keeps a panic from ending the process: CoreDHCP calls handlers in
// goroutines of their own and recovers nothing. Defer it directly. It calls
// onPanic with the value and the stack.
func Recover(onPanic func(value any, stack []byte)) {
	if v := recover(); v != nil {
		onPanic(v, debug.Stack())
	}
}
