package bootfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestSizes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size    int
		options []string
	}{
		"0":                   {0, nil},
		"1":                   {1, nil},
		"511":                 {511, nil},
		"512":                 {512, nil},
		"513":                 {513, nil},
		"1024":                {1024, nil},
		"0 of 1428":           {0, []string{"blksize", "1428"}},
		"1428":                {1428, []string{"blksize", "1428"}},
		"10 times 1428":       {14280, []string{"blksize", "1428", "tsize", "0"}},
		"10 times 1428 less":  {14279, []string{"blksize", "1428", "windowsize", "3"}},
		"window just filled":  {4096, []string{"windowsize", "8"}},
		"window larger":       {1500, []string{"windowsize", "64"}},
		"block number wraps":  {8*66000 + 1, []string{"blksize", "8", "windowsize", "64"}},
		"larger than a frame": {200000, []string{"blksize", "65464"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.Dir = folder(t, map[string][]byte{"f": sample(test.size)})
				r := start(t, o)
				d, err := dial(t, r.Addr()).get(rrq("f", test.options...))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(d.bytes, sample(test.size)) {
					t.Errorf("got %d octets that differ", len(d.bytes))
				}
				if tr := r.next(t); tr.Outcome != Sent || tr.Sent != int64(test.size) || tr.Size != tr.Sent {
					t.Errorf("got %+v", tr)
				}
			})
		})
	}
}

func TestNetascii(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789\n", 100)
	tests := map[string]struct{ file, want string }{
		"empty":                    {"", ""},
		"lines":                    {"#!ipxe\nboot\n", "#!ipxe\r\nboot\r\n"},
		"carriage return":          {"a\rb\r\n", "a\r\x00b\r\x00\r\n"},
		"many blocks":              {long, strings.ReplaceAll(long, "\n", "\r\n")},
		"a pair over blocks":       {strings.Repeat("x", 511) + "\n", strings.Repeat("x", 511) + "\r\n"},
		"exactly a block and none": {strings.Repeat("x", 510) + "\n", strings.Repeat("x", 510) + "\r\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.BuiltIn = map[string][]byte{"f": []byte(test.file)}
				r := start(t, o)
				ask := request{op: opRead, name: "f", mode: "NETASCII", options: pairs([]string{"tsize", "0", "windowsize", "8", "timeout", "3"})}
				d, err := dial(t, r.Addr()).get(ask.encode())
				if err != nil {
					t.Fatal(err)
				}
				if string(d.bytes) != test.want || d.oack != "timeout 3" {
					t.Errorf("got %q, options %q", d.bytes, d.oack)
				}
				if tr := r.next(t); tr.Outcome != Sent || tr.Sent != int64(len(test.want)) || tr.Size != int64(len(test.file)) {
					t.Errorf("got %+v", tr)
				}
			})
		})
	}
}

// step is a packet sent, a packet expected, or a silence, in a transfer of
// sample(1200).
type step struct {
	send, want []byte
	silence    time.Duration
}

// An exchange is written out packet by packet: what the client sends, what it
// gets, and how the transfer ends.
func TestExchange(t *testing.T) {
	t.Parallel()
	content := sample(1200)
	b1, b2, b3 := data(1, content[:512]), data(2, content[512:1024]), data(3, content[1024:])
	tests := map[string]struct {
		steps   []step
		resends bool // the test waits for what the server sends again
		outcome Outcome
		sent    int64
		err     string
	}{
		"plain": {
			steps:   []step{{send: rrq("f")}, {want: b1}, {send: ack(1)}, {want: b2}, {send: ack(2)}, {want: b3}, {send: ack(3)}},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"options": {
			steps: []step{
				{send: rrq("f", "tsize", "0", "blksize", "1000")},
				{want: oack("tsize", "1200", "blksize", "1000")},
				{send: ack(0)},
				{want: data(1, content[:1000])},
				{send: ack(1)},
				{want: data(2, content[1000:])},
				{send: ack(2)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"ACK lost": {
			resends: true,
			steps:   []step{{send: rrq("f")}, {want: b1}, {want: b1}, {send: ack(1)}, {want: b2}, {send: ack(2)}, {want: b3}, {want: b3}, {send: ack(3)}},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"ACK of options lost": {
			resends: true,
			steps: []step{
				{send: rrq("f", "blksize", "2000")},
				{want: oack("blksize", "2000")},
				{want: oack("blksize", "2000")},
				{send: ack(0)},
				{want: data(1, content)},
				{send: ack(1)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"duplicate ACKs": {
			steps: []step{
				{send: rrq("f", "blksize", "512")},
				{want: oack("blksize", "512")},
				{send: ack(0)},
				{want: b1},
				{send: ack(0)},
				{send: ack(0)},
				{silence: tick},
				{send: ack(1)},
				{want: b2},
				{send: ack(1)},
				{send: ack(1)},
				{send: ack(0)},
				{silence: tick},
				{send: ack(2)},
				{want: b3},
				{send: ack(2)},
				{silence: tick},
				{send: ack(3)},
				{silence: tick},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"ACK of what was not sent": {
			steps: []step{
				{send: rrq("f", "blksize", "512")},
				{want: oack("blksize", "512")},
				{send: ack(1)},
				{silence: tick},
				{send: ack(0)},
				{want: b1},
				{send: ack(2)},
				{send: ack(65535)},
				{silence: tick},
				{send: ack(1)},
				{want: b2},
				{send: ack(2)},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"other packets": {
			steps: []step{
				{send: rrq("f")},
				{want: b1},
				{send: []byte{0, 4}},
				{send: data(1, nil)},
				{send: oack("a", "b")},
				{send: ack(1)},
				{want: b2},
				{send: ack(2)},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"request repeated": {
			steps: []step{
				{send: rrq("f", "blksize", "512")},
				{want: oack("blksize", "512")},
				{send: rrq("f", "blksize", "512")},
				{silence: tick},
				{send: ack(0)},
				{want: b1},
				{send: rrq("f", "blksize", "512")},
				{silence: tick},
				{send: ack(1)},
				{want: b2},
				{send: ack(2)},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"window": {
			steps: []step{
				{send: rrq("f", "windowsize", "2")},
				{want: oack("windowsize", "2")},
				{send: ack(0)},
				{want: b1},
				{want: b2},
				{send: ack(2)},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"window, block lost in the middle": {
			steps: []step{
				{send: rrq("f", "windowsize", "3")},
				{want: oack("windowsize", "3")},
				{send: ack(0)},
				{want: b1},
				{want: b2},
				{want: b3},
				{send: ack(1)},
				{want: b2},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"window, first block lost": {
			steps: []step{
				{send: rrq("f", "windowsize", "2")},
				{want: oack("windowsize", "2")},
				{send: ack(0)},
				{want: b1},
				{want: b2},
				{send: ack(0)},
				{want: b1},
				{want: b2},
				{send: ack(0)},
				{send: ack(0)},
				{silence: tick},
				{send: ack(2)},
				{want: b3},
				{send: ack(2)},
				{want: b3},
				{send: ack(2)},
				{silence: tick},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"window, last block lost": {
			resends: true,
			steps: []step{
				{send: rrq("f", "windowsize", "2")},
				{want: oack("windowsize", "2")},
				{send: ack(0)},
				{want: b1},
				{want: b2},
				{want: b1},
				{want: b2},
				{send: ack(2)},
				{want: b3},
				{want: b3},
				{send: ack(3)},
			},
			outcome: Sent, sent: 1200, err: "<nil>",
		},
		"client vanishes": {
			resends: true,
			steps:   []step{{send: rrq("f")}, {want: b1}, {send: ack(1)}, {want: b2}, {want: b2}, {want: b2}, {want: b2}, {want: b2}, {silence: 9 * tick}},
			outcome: Gone, sent: 512, err: "no acknowledgement of block 2 after 5 tries",
		},
		"client vanishes at once": {
			resends: true,
			steps: []step{
				{send: rrq("f", "tsize", "0")},
				{want: oack("tsize", "1200")},
				{want: oack("tsize", "1200")},
				{want: oack("tsize", "1200")},
				{want: oack("tsize", "1200")},
				{want: oack("tsize", "1200")},
				{silence: 9 * tick},
			},
			outcome: Gone, err: "no acknowledgement of the options after 5 tries",
		},
		"client wanted the size only": {
			steps: []step{
				{send: rrq("f", "tsize", "0")}, {want: oack("tsize", "1200")}, {send: errorPacket(8, "User aborted the transfer")}, {silence: 2 * tick},
			},
			outcome: Gone, err: `the client aborted: error 8 "User aborted the transfer"`,
		},
		"client aborts": {
			steps:   []step{{send: rrq("f")}, {want: b1}, {send: ack(1)}, {want: b2}, {send: errorPacket(3, "disk full\xff")}, {silence: 2 * tick}},
			outcome: Gone, sent: 512, err: `the client aborted: error 3 "disk full?"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.BuiltIn = map[string][]byte{"f": content}
				second := time.Second
				if test.resends {
					second = tick
				}
				r := startWith(t, o, second)
				p := dial(t, r.Addr())
				for _, s := range test.steps {
					switch {
					case s.want != nil:
						p.want(s.want)
					case s.silence > 0:
						p.silent(s.silence)
					case bytes.HasPrefix(s.send, []byte{0, 1}):
						transfer := p.to
						p.to = r.Addr()
						p.send(s.send)
						p.to = transfer
					default:
						p.send(s.send)
					}
				}
				tr := r.next(t)
				if tr.Outcome != test.outcome || tr.Sent != test.sent || fmt.Sprint(tr.Err) != test.err {
					t.Errorf("got %s, %d sent, %v", tr.Outcome, tr.Sent, tr.Err)
				}
				r.quiet(t)
			})
		})
	}
}

// What is not acknowledged comes again after the time agreed on.
func TestTimeoutNegotiated(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.BuiltIn = map[string][]byte{"f": []byte("x")}
		r := startWith(t, o, tick)
		p := dial(t, r.Addr())
		p.send(rrq("f", "timeout", "5"))
		p.want(oack("timeout", "5"))
		p.send(ack(0))
		p.want(data(1, []byte("x")))
		began := time.Now()
		p.want(data(1, []byte("x")))
		if took := time.Since(began); took < 4*tick {
			t.Errorf("came again after %v, want %v", took, 5*tick)
		}
		p.send(ack(1))
		if tr := r.next(t); tr.Outcome != Sent {
			t.Errorf("got %+v", tr)
		}
	})
}

func TestAskedAnew(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.BuiltIn = map[string][]byte{"f": sample(1200), "g": []byte("x")}
		r := start(t, o)
		p := dial(t, r.Addr())
		p.send(rrq("f"))
		p.want(data(1, sample(1200)[:512]))
		p.to = r.Addr()
		p.send(rrq("g"))
		p.want(data(1, []byte("x")))
		if tr := r.next(t); tr.Outcome != Gone || tr.Name != "f" || tr.Err.Error() != "the client asked for something else" {
			t.Errorf("got %+v", tr)
		}
		p.send(ack(1))
		if tr := r.next(t); tr.Outcome != Sent || tr.Name != "g" {
			t.Errorf("got %+v", tr)
		}
		r.quiet(t)
	})
}

// A stranger who writes to the port of a transfer learns that it is not his;
// in single-port mode nobody knows whom he means.
func TestStranger(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.BuiltIn = map[string][]byte{"f": sample(600)}
		r := start(t, o)
		p := dial(t, r.Addr())
		p.send(rrq("f", "timeout", "200"))
		p.want(oack("timeout", "200"))
		stranger := dial(t, p.to)
		stranger.send(errorPacket(0, "stop"))
		stranger.send(oack("blksize", "8"))
		stranger.silent(tick)
		stranger.send(ack(0))
		if o.SinglePort {
			stranger.silent(tick)
		} else {
			stranger.want([]byte("\x00\x05\x00\x05unknown transfer id\x00"))
		}
		p.send(ack(0))
		p.want(data(1, sample(600)[:512]))
		p.send(ack(1))
		p.want(data(2, sample(600)[512:]))
		p.send(ack(2))
		if tr := r.next(t); tr.Outcome != Sent {
			t.Errorf("got %+v", tr)
		}
	})
}

func TestFileShrinks(t *testing.T) {
	t.Parallel()
	bothPorts(t, func(t *testing.T, o Options) {
		o.Dir = folder(t, map[string][]byte{"f": sample(2000)})
		r := start(t, o)
		p := dial(t, r.Addr())
		p.send(rrq("f"))
		p.want(data(1, sample(2000)[:512]))
		if err := os.Truncate(filepath.Join(o.Dir, "f"), 600); err != nil {
			t.Fatal(err)
		}
		p.send(ack(1))
		p.want([]byte("\x00\x05\x00\x00the file cannot be read\x00"))
		tr := r.next(t)
		if tr.Outcome != Failed || tr.Sent != 512 || tr.Err.Error() != "reading block 2: unexpected EOF" {
			t.Errorf("got %+v", tr)
		}
	})
}

// orderly is a line whose client acknowledges each block, and checks that
// their numbers go up by one and wrap.
type orderly struct {
	n   uint16
	got int64
}

func (o *orderly) send(b []byte) error {
	if n := binary.BigEndian.Uint16(b[2:]); n != o.n+1 {
		return fmt.Errorf("block %d follows %d", n, o.n)
	}
	o.n++
	o.got += int64(len(b) - headerLen)
	return nil
}
func (o *orderly) receive(time.Time) (reply, error) { return reply{op: opAck, number: o.n}, nil }
func (o *orderly) close()                           {}

func TestWrapsInLockstep(t *testing.T) {
	t.Parallel()
	tests := map[string]int{
		"below": 8*65535 - 1, "empty block at the end": 8 * 65535, "full": 8*65536 - 1,
		"wrapped, empty": 8 * 65536, "three times": 8*200000 + 5,
	}
	for name, size := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := &orderly{}
			s := newSender(client, octets{bytes.NewReader(sample(size)), int64(size)}, terms{block: 8, window: 1}, time.Second)
			if err := s.run(); err != nil || s.sendErr != nil {
				t.Error(err, s.sendErr)
			}
			if client.got != int64(size) || s.sent() != client.got {
				t.Errorf("got %d of %d, sent %d", client.got, size, s.sent())
			}
		})
	}
}

// deaf is a line on which nothing can be sent and nothing comes.
type deaf struct{}

func (deaf) send([]byte) error                { return errors.New("network is unreachable") }
func (deaf) receive(time.Time) (reply, error) { return reply{}, os.ErrDeadlineExceeded }
func (deaf) close()                           {}

func TestSendError(t *testing.T) {
	t.Parallel()
	s := newSender(deaf{}, octets{strings.NewReader("x"), 1}, terms{block: 512, window: 1}, time.Second)
	err := s.run()
	want := "no acknowledgement of block 1 after 5 tries: network is unreachable"
	if outcomeOf(err) != Gone || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
