// Package bootfile serves boot files by TFTP and HTTP, read-only: the files of
// one folder, and built-in ones where the folder has none of that name. Its
// TFTP is RFC 1350 with the options of RFC 2347, 2348, 2349 and 7440, from a
// port per transfer or from the listening port alone. It logs nothing and knows
// nothing of DHCP; a callback tells of each request that ended.
package bootfile

import (
	"net/netip"
	"os"
	"time"
)

// Limits that stand where Options names none.
const (
	defaultMaxTransfers = 4000
	defaultMaxPerClient = 20
)

// Options says what a Server serves, and where.
type Options struct {
	// Addr is the address to bind, such as ":69". Without a host it is
	// all addresses, of both families where the system has IPv6.
	Addr string
	// Socket is one that is bound to Addr already, by a server that is about
	// to Leave; a copy is used. nil: there is none.
	Socket *os.File
	// Strays is what that server's Strays returned; copies are used.
	Strays []*os.File
	// Dir is the folder served. It need not exist: it is opened anew for
	// each request, so a folder that appears later is served then. Empty
	// means the built-in files only.
	Dir string
	// SinglePort sends everything from the listening port, for networks
	// whose firewalls know only that one.
	SinglePort bool
	// BuiltIn are the files served when Dir holds none of that name. A file
	// by one of these names that begins with "#!ipxe" is a text/template,
	// whether it is built in or in Dir; it may use what Asked holds.
	BuiltIn map[string][]byte
	// Alternates maps a name to the one served in its place when it is
	// missing.
	Alternates map[string]string
	// OnTransfer is called once for every request that ended, with no lock
	// held; nil means nobody wants to know. The calls come from a goroutine
	// per transfer, those for Busy and Malformed from the one that receives,
	// which waits meanwhile. A panic in it is contained.
	OnTransfer func(Transfer)
	// Rate is the send budget that all transfers share, in bits on the wire
	// a second; 0 means none. A request is answered at once, everything else
	// goes out in turn.
	Rate int64
	// MaxTransfers and MaxPerClient bound what runs at a time, in all and
	// for one client address; 0 means 4000 and 20.
	MaxTransfers, MaxPerClient int
}

// Transfer is a request that ended.
type Transfer struct {
	// HTTP says that the file was asked for by HTTP, not TFTP.
	HTTP bool
	// Client is the address and port that asked.
	Client netip.AddrPort
	// Name is the file as the client wrote it, so it may hold any octet but
	// NUL. It is empty for Malformed.
	Name string
	// Size is the size of the file in octets, 0 when none was opened.
	Size int64
	// Sent is how many octets the client acknowledged. In netascii it counts
	// what went over the wire.
	Sent int64
	// Took is the time from the request to the end.
	Took time.Duration
	// Outcome is how it ended.
	Outcome Outcome
	// Err says why. It is nil for Sent only.
	Err error
}

// Outcome is how a request ended: a short closed list, fit for a metric label.
type Outcome string

// The outcomes.
const (
	// Sent: the client acknowledged the whole file.
	Sent Outcome = "sent"
	// Missing: no such file.
	Missing Outcome = "missing"
	// Refused: a name or link that leads outside the folder, something else
	// than a regular file, a write request, an unknown mode.
	Refused Outcome = "refused"
	// Gone: the client aborted or was no longer heard of, or asked for
	// another file from the same port.
	Gone Outcome = "gone"
	// Busy: dropped without a reply since too many transfers run. Clients
	// repeat what is not answered.
	Busy Outcome = "busy"
	// Failed: the file could not be read, or the server stopped.
	Failed Outcome = "failed"
	// Malformed: not a request. Nothing is ever answered to it.
	Malformed Outcome = "malformed"
)
