// Package audit writes down what becomes of leases: a line of JSON for each
// that is given, renewed, refused, released or declined. docs/audit.md has the
// fields. It knows neither DHCP nor SMD.
//
// Whoever reports waits for nobody, not for a disk either. Lines that cannot be
// written in time are lost, counted, and owned up to in the file.
package audit

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// A Record is what became of a lease. Its slices are kept until it is written.
type Record struct {
	Time                time.Time
	Event               string // given, renewed, refused, released, declined
	Plugin              string
	MAC                 [6]byte                       // zero: not known, which is so with DHCPv6 only
	DUID                interface{ ToBytes() []byte } // of DHCPv6; nil: none
	Addr                netip.Addr                    // the lease's; of a refusal the one asked for
	Lease               time.Duration                 // of one given or renewed
	ID, Type            string                        // of SMD
	Hostname            string
	Giaddr              netip.Addr
	Circuit, Remote     []byte
	Message, State, XID string
	Reason              string
}

// A line is the form of a record in the file.
type line struct {
	Time     string `json:"time"`
	Event    string `json:"event"`
	Plugin   string `json:"plugin,omitempty"`
	MAC      string `json:"mac,omitempty"`
	DUID     string `json:"duid,omitempty"`
	IP       string `json:"ip,omitempty"`
	Lease    int64  `json:"lease_seconds,omitempty"`
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Giaddr   string `json:"giaddr,omitempty"`
	Circuit  string `json:"circuit_id,omitempty"`
	Remote   string `json:"remote_id,omitempty"`
	Message  string `json:"message,omitempty"`
	State    string `json:"state,omitempty"`
	XID      string `json:"xid,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Lost     uint64 `json:"lost,omitempty"` // of an event "lost": lines that are missing here
}

const queueSize = 8192

// A Log is the file. A nil Log takes nothing.
type Log struct {
	path      string
	onProblem func(error)
	queue     chan Record
	again     chan struct{} // the file is to be opened anew
	waiting   chan chan struct{}
	lost      atomic.Uint64

	file   *os.File
	out    *bufio.Writer
	told   uint64 // of lost, in the file
	broken bool   // the last write failed
}

// Open opens the file, or makes it. Run writes. onProblem is told, from Run,
// when writing begins to fail, and nil when it works again.
func Open(path string, onProblem func(error)) (*Log, error) {
	l := &Log{path: path, onProblem: onProblem, queue: make(chan Record, queueSize), again: make(chan struct{}, 1), waiting: make(chan chan struct{})}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.out = f, bufio.NewWriter(f)
	return nil
}

// Add writes a record down soon. It never waits.
func (l *Log) Add(r Record) {
	if l == nil {
		return
	}
	select {
	case l.queue <- r:
	default:
		l.lost.Add(1)
	}
}

// Lost returns how many records are missing in the file.
func (l *Log) Lost() uint64 {
	if l == nil {
		return 0
	}
	return l.lost.Load()
}

// Reopen has the file opened anew: it was moved away.
func (l *Log) Reopen() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// syncLimit bounds the wait of Sync.
const syncLimit = time.Second

// Sync waits until what was added is written, so that the lines of another
// process stand behind it. A disk that hangs is not waited for long.
func (l *Log) Sync() {
	limit := time.NewTimer(syncLimit)
	defer limit.Stop()
	written := make(chan struct{})
	select {
	case l.waiting <- written:
	case <-limit.C:
		return
	}
	select {
	case <-written:
	case <-limit.C:
	}
}

// Run writes until ctx ends, and what was added by then. At SIGHUP it opens the
// file anew.
func (l *Log) Run(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	defer func() {
		l.drain()
		l.file.Close()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			l.reopen()
		case <-l.again:
			l.reopen()
		case written := <-l.waiting:
			l.drain()
			close(written)
		case r := <-l.queue:
			l.write(r)
			if len(l.queue) == 0 {
				l.flush()
			}
		}
	}
}

// drain writes what waits.
func (l *Log) drain() {
	for len(l.queue) > 0 {
		l.write(<-l.queue)
	}
	l.flush()
}

func (l *Log) reopen() {
	l.flush()
	l.outcome(l.open())
}

func (l *Log) write(r Record) {
	if lost := l.lost.Load(); lost > l.told {
		l.put(line{Time: stamp(r.Time), Event: "lost", Lost: lost - l.told})
		l.told = lost
	}
	l.put(r.line())
}

func (l *Log) put(v line) {
	octets, err := json.Marshal(v)
	if err == nil {
		_, _ = l.out.Write(append(octets, '\n')) // flush tells
	}
}

// flush writes what is gathered. A part of it that cannot be written is
// dropped.
func (l *Log) flush() {
	waiting := l.out.Buffered()
	err := l.out.Flush()
	if err != nil {
		l.out.Reset(l.file)
	}
	if waiting > 0 || err != nil {
		l.outcome(err)
	}
}

// outcome tells when writing begins to fail and when it works again.
func (l *Log) outcome(err error) {
	if (err != nil) == l.broken {
		return
	}
	l.broken = err != nil
	l.onProblem(err)
}

func (r *Record) line() line {
	l := line{
		Time: stamp(r.Time), Event: r.Event, Plugin: r.Plugin,
		IP: text(r.Addr), Lease: int64(r.Lease / time.Second), ID: r.ID, Type: r.Type, Hostname: r.Hostname,
		Giaddr: text(r.Giaddr), Circuit: printable(r.Circuit), Remote: printable(r.Remote),
		Message: r.Message, State: r.State, XID: r.XID, Reason: r.Reason,
	}
	if r.MAC != [6]byte{} {
		l.MAC = net.HardwareAddr(r.MAC[:]).String()
	}
	if r.DUID != nil {
		l.DUID = net.HardwareAddr(r.DUID.ToBytes()).String()
	}
	return l
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// printable returns plain ASCII as it is, and all else in hex behind 0x.
func printable(octets []byte) string {
	for _, b := range octets {
		if b < ' ' || b > '~' {
			return "0x" + hex.EncodeToString(octets)
		}
	}
	return string(octets)
}
