package bootfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the second of tests that wait for what a server sends again, and
// how long others wait for what must not come.
const tick = 40 * time.Millisecond

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

// running is a server under test and what it told of.
type running struct {
	*Server
	ended chan Transfer
	stop  func() error
}

// start runs a server on the loopback interface until the test ends.
func start(t *testing.T, o Options) running {
	t.Helper()
	return startWith(t, o, time.Second)
}

// startWith is start with another second.
func startWith(t *testing.T, o Options, second time.Duration) running {
	t.Helper()
	ended := make(chan Transfer, 4096)
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.OnTransfer == nil {
		o.OnTransfer = func(tr Transfer) { ended <- tr }
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.second = second
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return running{s, ended, stop}
}

// next is the next transfer that ended.
func (r running) next(t *testing.T) Transfer {
	t.Helper()
	select {
	case tr := <-r.ended:
		return tr
	case <-time.After(patience):
		t.Fatal("no transfer ended")
		return Transfer{}
	}
}

// sessions counts what the table holds.
func (r running) sessions() int {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	return r.table.all + len(r.table.byPort) + len(r.table.byHost)
}

// quiet fails when another transfer has ended.
func (r running) quiet(t *testing.T) {
	t.Helper()
	select {
	case tr := <-r.ended:
		t.Errorf("ended too: %+v", tr)
	default:
	}
}

// peer is a client on one port.
type peer struct {
	t    *testing.T
	conn *net.UDPConn
	to   netip.AddrPort // where replies go: the server's transfer identifier
	b    [1 << 16]byte
	seen []string // packets that were expected and came
}

func dial(t *testing.T, server netip.AddrPort) *peer {
	t.Helper()
	var local *net.UDPAddr
	if server.Addr().Is4() {
		local = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{t: t, conn: conn, to: server}
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort(b, p.to); err != nil {
		p.t.Fatal(err)
	}
}

// within is the next packet, or nil when the time is up; it is valid until the
// one after. It moves the peer on to the port that the packet came from.
func (p *peer) within(d time.Duration) []byte {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		p.t.Fatal(err)
	}
	n, from, err := p.conn.ReadFromUDPAddrPort(p.b[:])
	if err != nil {
		return nil
	}
	p.to = from
	return p.b[:n]
}

// want expects a packet. Those that came before are skipped: the server sends
// them again when this machine is slow.
func (p *peer) want(want []byte) {
	p.t.Helper()
	for {
		got := p.within(patience)
		if bytes.Equal(got, want) {
			p.seen = append(p.seen, string(got))
			return
		}
		if got == nil || !slices.Contains(p.seen, string(got)) {
			p.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// silent fails when something comes.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	if got := p.within(d); got != nil {
		p.t.Fatalf("got %q, want nothing", got)
	}
}

func rrq(name string, options ...string) []byte {
	return request{op: opRead, name: name, mode: "octet", options: pairs(options)}.encode()
}

func pairs(words []string) []option {
	var options []option
	for i := 0; i+1 < len(words); i += 2 {
		options = append(options, option{words[i], words[i+1]})
	}
	return options
}

func ack(n int) []byte {
	return binary.BigEndian.AppendUint16([]byte{0, 4}, uint16(n))
}

func data(n int, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0, 3}, uint16(n)), b...)
}

func oack(words ...string) []byte { return oackPacket(pairs(words)) }

// download is what a whole transfer brought.
type download struct {
	oack  string
	bytes []byte
	fault string // "code text" of an ERROR
}

// get downloads a file like an orderly client does.
func (p *peer) get(ask []byte) (d download, err error) {
	block, window, next := 512, 1, 1
	p.send(ask)
	for {
		b := p.within(patience)
		if len(b) < 2 {
			return d, fmt.Errorf("nothing came after %d blocks", next-1)
		}
		switch binary.BigEndian.Uint16(b) {
		case opOack:
			d.oack = strings.TrimSuffix(strings.ReplaceAll(string(b[2:]), "\x00", " "), " ")
			words := strings.Fields(d.oack)
			for i := 0; i+1 < len(words); i += 2 {
				v, _ := strconv.Atoi(words[i+1])
				switch strings.ToLower(words[i]) {
				case "blksize":
					block = v
				case "windowsize":
					window = v
				}
			}
			p.send(ack(0))
		case opError:
			d.fault = fmt.Sprintf("%d %s", binary.BigEndian.Uint16(b[2:]), bytes.TrimSuffix(b[4:], []byte{0}))
			return d, nil
		case opData:
			switch n := int(binary.BigEndian.Uint16(b[2:])); {
			case n == (next-1)&0xffff && window == 1:
				p.send(ack(n)) // the one before was lost
				continue
			case n != next&0xffff:
				continue
			}
			d.bytes = append(d.bytes, b[4:]...)
			if len(b)-4 < block || next%window == 0 {
				p.send(ack(next))
			}
			if len(b)-4 < block {
				return d, nil
			}
			next++
		}
	}
}

// folder makes a folder of files.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sample is n octets that differ from block to block.
func sample(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// bothPorts runs a test with a port for each transfer and with one port.
func bothPorts(t *testing.T, test func(t *testing.T, o Options)) {
	t.Helper()
	for name, single := range map[string]bool{"own port": false, "single port": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, Options{SinglePort: single})
		})
	}
}
