package process

import "net/netip"

// An Origin is where a packet came from, as far as the packet loop tells. The
// stock loop of CoreDHCP tells nothing: that is the zero value.
type Origin struct {
	Interface string         // name of the receiving interface; empty: not told
	Index     int            // its index; 0: not told
	Networks  []netip.Prefix // addresses of that interface with their prefix lengths; not to be written to
	Peer      netip.AddrPort // who sent the packet: a client, or a relay
	Dst       netip.Addr     // where the packet was sent to; invalid: not told

	// Waits is called by a handler before it waits, for the disk say: packets
	// that came with this one are not kept waiting too. nil: nothing to tell.
	Waits func()

	// Decided is called by a handler with what it made of the packet, in the
	// words of its log. nil: packets are not recorded.
	Decided func(plugin, verdict, reason string)
}

// A Handler is a handler that is told where a packet came from. M is the type
// of a message.
type Handler[M any] func(req, resp M, from Origin) (reply M, stop bool)

// Aware returns h in the form that CoreDHCP calls, which gets the zero Origin,
// and keeps h for a packet loop that can tell the origin. A Setup function
// returns the result.
func Aware[M any](p *Process, h Handler[M]) func(req, resp M) (M, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aware = h
	return func(req, resp M) (M, bool) { return h(req, resp, Origin{}) }
}

// TakeAware returns what Aware kept last, and forgets it. A packet loop calls it
// before and after each Setup function; nil means that the function's handler
// does not ask for the origin.
func TakeAware[M any](p *Process) Handler[M] {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, _ := p.aware.(Handler[M])
	p.aware = nil
	return h
}
