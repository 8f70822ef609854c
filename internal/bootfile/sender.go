package bootfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// line is the way to one client and back.
type line interface {
	// send sends a packet. An error may be temporary.
	send([]byte) error
	// receive returns what the client says next. It is over with
	// os.ErrDeadlineExceeded at the deadline, with the reason when the
	// transfer was cancelled.
	receive(deadline time.Time) (reply, error)
	close()
}

// sender sends one file to one client: a window of blocks, then it waits for
// the acknowledgement (RFC 1350; RFC 7440 with a window above one). Blocks
// are counted from 1 without wrapping; only on the wire they are 16 bits.
type sender struct {
	line   line
	source source
	oack   []byte          // sent before the first block, nil for none
	window int64           // blocks in flight
	waits  []time.Duration // how long to wait after each try
	buffer []byte          // header and one block

	acked    int64 // last block acknowledged
	high     int64 // last block sent
	last     int64 // last block of the file, 0 before it was read
	short    int   // octets in the last block
	repeated int64 // where a repeated ACK has been heeded, -1 nowhere
	sendErr  error // why the last packet could not be sent
}

func newSender(l line, src source, t terms, second time.Duration) *sender {
	timeout := t.timeout
	if timeout == 0 {
		timeout = second
	}
	return &sender{
		line: l, source: src, oack: oackPacket(t.agreed), window: int64(t.window),
		waits: waits(timeout, second), buffer: make([]byte, headerLen+t.block), repeated: -1,
	}
}

// waits says how long to wait for an acknowledgement after each try: twice
// the timeout as agreed on, then doubled up to eight seconds. There are five
// tries, fewer when they would take more than a minute, two at least.
func waits(timeout, second time.Duration) []time.Duration {
	tries := min(5, max(2, int(60*second/timeout)))
	w := make([]time.Duration, tries)
	for i := range w {
		w[i] = min(timeout<<max(0, i-1), max(timeout, 8*second))
	}
	return w
}

// run sends the file, and returns nil when the client has acknowledged all of
// it.
func (s *sender) run() error {
	for tries := 0; !s.done(); {
		if err := s.transmit(); err != nil {
			return err
		}
		switch moved, err := s.await(time.Now().Add(s.waits[tries])); {
		case err != nil:
			return err
		case moved:
			tries = 0
		default:
			if tries++; tries == len(s.waits) {
				return s.silent()
			}
		}
	}
	return nil
}

func (s *sender) done() bool { return s.last > 0 && s.acked == s.last }

// sent is how many octets of the file were acknowledged.
func (s *sender) sent() int64 {
	block := int64(len(s.buffer) - headerLen)
	if s.done() {
		return (s.last-1)*block + int64(s.short)
	}
	return s.acked * block
}

// transmit sends what the client waits for: the acknowledgement of options,
// else the blocks of a window. A packet that cannot be sent is like one that
// got lost.
func (s *sender) transmit() error {
	if s.oack != nil {
		s.sendErr = s.line.send(s.oack)
		return nil
	}
	for s.high = s.acked; s.high < s.acked+s.window && (s.last == 0 || s.high < s.last); {
		n, err := s.source.block(s.high+1, s.buffer[headerLen:])
		if err != nil {
			return &failure{Failed, codeOther, "the file cannot be read", fmt.Errorf("reading block %d: %w", s.high+1, err)}
		}
		s.high++
		if n < len(s.buffer)-headerLen {
			s.last, s.short = s.high, n
		}
		binary.BigEndian.PutUint16(s.buffer, opData)
		binary.BigEndian.PutUint16(s.buffer[2:], uint16(s.high))
		s.sendErr = s.line.send(s.buffer[:headerLen+n])
	}
	return nil
}

// await waits for an acknowledgement, and reports whether there is something
// new to transmit; false means that the time is up.
func (s *sender) await(deadline time.Time) (bool, error) {
	for {
		r, err := s.line.receive(deadline)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil:
			return false, err
		case r.op == opError:
			return false, gone(fmt.Errorf("the client aborted: error %d %q", r.number, r.text))
		case s.accept(r.number):
			return true, nil
		}
	}
}

// accept takes the acknowledgement of a block, and reports whether there is
// something new to transmit.
//
// An ACK of a block that was acknowledged before is ignored, or else every
// delayed packet would double all that follow (RFC 1123 section 4.2.3.1).
// With a window it also is how a client says that the first block of the
// window got lost (RFC 7440 section 4), so it is heeded once for each window.
func (s *sender) accept(number uint16) bool {
	if s.oack != nil {
		if number != 0 {
			return false
		}
		s.oack = nil
		return true
	}
	ahead := int64(number - uint16(s.acked))
	switch {
	case ahead == 0 && s.window > 1 && s.repeated != s.acked:
		s.repeated = s.acked
		return true
	case ahead == 0 || ahead > s.high-s.acked:
		return false
	}
	s.acked += ahead
	return true
}

// silent is the error for a client that no longer answers.
func (s *sender) silent() error {
	what := fmt.Sprintf("block %d", s.acked+1)
	if s.oack != nil {
		what = "the options"
	}
	err := fmt.Errorf("no acknowledgement of %s after %d tries", what, len(s.waits))
	if s.sendErr != nil {
		err = fmt.Errorf("%w: %w", err, s.sendErr)
	}
	return gone(err)
}

// gone is a failure that the client is not told of.
func gone(err error) error { return &failure{outcome: Gone, err: err} }
