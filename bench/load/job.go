// Package load is a crowd of DHCPv4 clients on one Ethernet port, and the
// measure of the server that answers them. It knows no particular server.
package load

import (
	"net"
	"net/netip"
	"time"
)

// A Host is where frames go to or come from.
type Host struct {
	MAC  net.HardwareAddr
	Addr netip.Addr
}

// A Job says what a crowd does.
type Job struct {
	Interface string
	Server    Host
	Relays    []Host // clients ask through these in turn; none: directly
	PID       int    // of the server, whose processor time is measured; 0: none
	Limit     time.Duration
	Crowds    []Crowd // at most two
	Seed      uint64
	Awake     bool // look for answers all the time; else sleep when there is none
}

// A Mode is how a crowd comes.
type Mode string

// The modes of a crowd.
const (
	Burst  Mode = "burst"  // all clients at once
	Window Mode = "window" // always so many handshakes under way
	Rate   Mode = "rate"   // so many handshakes begin each second
)

// A Crowd is clients of one kind.
type Crowd struct {
	Mode    Mode
	First   int        // number of the first client, which makes its MAC
	Clients int        // at most MaxClients
	Base    netip.Addr // address of client 0, Base+n is that of client n; invalid: any address that nobody else has
	Window  int        // of mode window
	Rate    int        // of mode rate, a second
	Warm    time.Duration
	For     time.Duration // measured, after Warm; of modes window and rate
	Retry   time.Duration // after which a client asks again; 0: as RFC 2131 has it
	Once    bool          // no client has a second handshake
	Echo    bool          // the server sends back what it gets
}

// MaxClients is how many clients a crowd has at most.
const MaxClients = 1 << 17

// A Result is what became of a crowd in the measured time.
type Result struct {
	Leases  int           // handshakes that ended with an ACK
	Again   int           // messages that were sent again
	Refused int           // NAKs
	Open    int           // clients of a burst that have no lease at the end
	Took    time.Duration // from the first message to the last ACK of a burst; else the measured time
	Server  time.Duration // processor time of the server
	Self    time.Duration // processor time of the crowd
	P50     time.Duration // of handshakes, from the first DISCOVER to the ACK
	P99     time.Duration
	Worst   time.Duration
	Lost    int      // frames that this host had no room for
	Wrong   []string // what no server may answer, at most ten
	Last    []byte   // the last ACK
}
