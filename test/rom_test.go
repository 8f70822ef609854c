package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A rom is how a kind of firmware loads a file by TFTP.
type rom struct {
	name   string
	block  int
	window int
	// asksSize asks for the size in a transfer of its own, which it aborts.
	asksSize bool
	// waits are how long it waits after it has sent the same packet for the
	// first time, the second time, and so on. Then it gives up.
	waits []time.Duration
}

// roms have the timeouts of real firmware, and one that is stricter than any of them:
//
//   - iPXE repeats after a quarter of a second and doubles that; it gives up when the next wait
//     were longer than ten seconds (src/include/ipxe/retry.h, src/net/retry.c).
//   - EDK2, which most UEFI firmware is made from, repeats every 4 s, six times
//     (PXEBC_MTFTP_TIMEOUT and PXEBC_MTFTP_RETRIES in NetworkPkg/UefiPxeBcDxe/PxeBcImpl.h). It asks for the
//     size first, and for windows of 4 blocks.
//   - "impatient" is none that we know: it gives up after 4 s without a new block.
var roms = []rom{
	{"iPXE", 1432, 1, false, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}},
	{"EDK2", 1468, 4, true, []time.Duration{4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second}},
	{"impatient", 1456, 1, false, []time.Duration{time.Second, time.Second, time.Second, time.Second}},
}

// errGaveUp is the end of firmware that has sent a packet often enough.
var errGaveUp = errors.New("gave up")

// A tftpLoad is one file that firmware loads.
type tftpLoad struct {
	rom
	conn   net.PacketConn
	server net.Addr // the port that the server answers from
	last   []byte   // the packet that is repeated
	next   int      // the block that is waited for
	size   int      // octets of the file so far
	gap    time.Duration
}

// load loads a file from inside a namespace, as the machine at addr.
func (r rom) load(ns *dhcptest.Namespace, addr, server netip.Addr, file string) (*tftpLoad, error) {
	conn, err := ns.ListenPacket("udp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := &tftpLoad{rom: r, conn: conn}
	listening := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 69))
	if r.asksSize {
		l.ask(listening, file, "tsize", "0")
		if err := l.run(true); err != nil {
			return l, fmt.Errorf("size: %w", err)
		}
		_, _ = conn.WriteTo([]byte{0, 5, 0, 8, 0}, l.server)
		second, err := ns.ListenPacket("udp4", netip.AddrPortFrom(addr, 0).String())
		if err != nil {
			return l, err
		}
		defer second.Close()
		l.conn = second
	}
	options := []string{"tsize", "0", "blksize", strconv.Itoa(r.block)}
	if r.window > 1 {
		options = append(options, "windowsize", strconv.Itoa(r.window))
	}
	l.ask(listening, file, options...)
	return l, l.run(false)
}

// ask sends a read request.
func (l *tftpLoad) ask(to net.Addr, file string, options ...string) {
	words := append([]string{file, "octet"}, options...)
	l.server, l.next, l.size = to, 0, 0
	l.send([]byte("\x00\x01" + strings.Join(words, "\x00") + "\x00"))
}

func (l *tftpLoad) send(b []byte) {
	l.last = b
	_, _ = l.conn.WriteTo(b, l.server)
}

// run takes packets until the file is there, or its size; it repeats the last packet when
// nothing comes.
func (l *tftpLoad) run(size bool) error {
	b := make([]byte, 2048)
	since := time.Now() // the last progress
	for try := 0; try < len(l.waits); {
		_ = l.conn.SetReadDeadline(time.Now().Add(l.waits[try]))
		n, from, err := l.conn.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if try++; try < len(l.waits) {
				_, _ = l.conn.WriteTo(l.last, l.server)
			}
			continue
		}
		if err != nil {
			return err
		}
		progress, end, err := l.take(b[:n], from)
		if progress {
			l.gap = max(l.gap, time.Since(since))
			since, try = time.Now(), 0
		}
		if err != nil || end || size && progress {
			return err
		}
	}
	return fmt.Errorf("%w after %d octets", errGaveUp, l.size)
}

// take takes one packet: whether it brought the load further, and whether it was the last.
func (l *tftpLoad) take(b []byte, from net.Addr) (progress, end bool, err error) {
	if len(b) < 4 {
		return false, false, nil
	}
	number := int(binary.BigEndian.Uint16(b[2:]))
	switch op := binary.BigEndian.Uint16(b); {
	case op == 5:
		return false, true, fmt.Errorf("error %d %q", number, bytes.TrimRight(b[4:], "\x00"))
	case op == 6 && l.next == 0:
		l.server, l.next = from, 1
		l.send([]byte{0, 4, 0, 0})
		return true, false, nil
	case op != 3 || l.next == 0 || from.String() != l.server.String():
		return false, false, nil
	case number != l.next&0xffff:
		if l.window > 1 && number > l.next { // one of the window got lost
			l.send(ackOf(l.next - 1))
		}
		return false, false, nil
	}
	l.size += len(b) - 4
	end = len(b)-4 < l.block
	if end || l.next%l.window == 0 {
		l.send(ackOf(l.next))
	}
	l.next++
	return true, end, nil
}

func ackOf(block int) []byte { return []byte{0, 4, byte(block >> 8), byte(block)} }
