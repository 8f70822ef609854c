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
	Awake     bool      // look for answers all the time; else sleep when there is none
	Epoch     time.Time // when the first cycle begins; zero: with the job
	Cycle     Cycle

	lead time.Duration // from the beginning of the job to Epoch
}

// phase returns the phase at a time of the job.
func (j *Job) phase(now time.Duration) Phase {
	p, _ := j.Cycle.At(now - j.lead)
	return p
}

// A Cycle is phases that follow each other again and again: calm, then busy, when
// something else goes on, then one in which that comes to its end. The zero
// value has none.
type Cycle struct{ Calm, Busy, End time.Duration }

// Whole returns how long a cycle is.
func (c Cycle) Whole() time.Duration { return c.Calm + c.Busy + c.End }

// A Phase is a part of a cycle.
type Phase uint8

// The phases.
const (
	Ending Phase = iota // what begins then is not measured
	Calm
	Busy
)

// At returns the phase so long after the first cycle began, and what is left of it.
// Before that, and where there are no cycles, it is Ending.
func (c Cycle) At(t time.Duration) (p Phase, left time.Duration) {
	whole := c.Whole()
	if t < 0 || whole == 0 {
		return Ending, max(-t, 0)
	}
	switch t %= whole; {
	case t < c.Calm:
		return Calm, c.Calm - t
	case t < c.Calm+c.Busy:
		return Busy, c.Calm + c.Busy - t
	}
	return Ending, whole - t
}

// A Mode is how a crowd comes.
type Mode string

// The modes of a crowd.
const (
	Burst  Mode = "burst"  // all clients at once
	Window Mode = "window" // always so many handshakes under way
	Rate   Mode = "rate"   // so many handshakes begin each second, none knowing of the others (a Poisson process)
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
	Busy    bool          // of mode rate: begin in busy phases only
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
	Times                 // of all handshakes
	Calm    Times         // of those that began in calm phases
	Busy    Times         // in busy ones
	Lost    int           // frames that this host had no room for
	Wrong   []string      // what no server may answer, at most ten
	Last    []byte        // the last ACK
}

// Times are how long handshakes took, from the first DISCOVER to the ACK.
type Times struct{ P50, P99, Worst time.Duration }
