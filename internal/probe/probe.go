// Package probe asks a DHCPv4 server whether it answers, as dhcping does. It knows nothing
// of what the server serves.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// A Probe is one question. The server answers a REQUEST whose ciaddr is its own server
// identifier with a NAK, and changes nothing.
type Probe struct {
	Client netip.Addr       // ciaddr
	Server netip.Addr       // where the question is sent
	MAC    net.HardwareAddr // chaddr
	Inform bool             // an INFORM in place of the REQUEST
	Wait   time.Duration    // how long an answer is waited for
}

// An Answer is what a server said.
type Answer struct {
	From netip.Addr
	Type dhcpv4.MessageType // ACK or NAK
	Text string             // option 56
}

// ErrNoAnswer says that nobody answered in time.
var ErrNoAnswer = errors.New("no answer")

// again is the pause before the question is put again: a packet may be lost.
const again = time.Second

// Ask puts the question until it is answered. It opens the port of DHCP clients.
func (p Probe) Ask(ctx context.Context) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Wait)
	defer cancel()
	question, err := p.message()
	if err != nil {
		return Answer{}, err
	}
	conn, err := listen(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Server, dhcpv4.ServerPort))
	for ctx.Err() == nil {
		if _, err := conn.WriteTo(question.ToBytes(), server); err != nil {
			return Answer{}, fmt.Errorf("asking %s: %w", p.Server, err)
		}
		if answer, err := hear(ctx, conn, question.TransactionID); !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
	}
	return Answer{}, ErrNoAnswer
}

// message is the question. Neither option 50 nor 54 stands in it: it is that of a client
// that renews.
func (p Probe) message() (*dhcpv4.DHCPv4, error) {
	kind := dhcpv4.MessageTypeRequest
	if p.Inform {
		kind = dhcpv4.MessageTypeInform
	}
	return dhcpv4.New(
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithClientIP(p.Client.AsSlice()),
		dhcpv4.WithHwAddr(p.MAC),
	)
}

// listen opens the port that servers answer to, also beside a client of this host.
func listen(ctx context.Context) (net.PacketConn, error) {
	share := func(_, _ string, raw syscall.RawConn) error {
		var fault error
		err := raw.Control(func(fd uintptr) {
			fault = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(err, fault)
	}
	config := net.ListenConfig{Control: share}
	return config.ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", dhcpv4.ClientPort))
}

// hear waits for the answer to one question for a moment. What is not that answer is passed over.
func hear(ctx context.Context, conn net.PacketConn, id dhcpv4.TransactionID) (Answer, error) {
	until := time.Now().Add(again)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return Answer{}, err
	}
	packet := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(packet)
		if err != nil {
			return Answer{}, err
		}
		if answer, ok := read(packet[:n], id); ok {
			return answer, nil
		}
	}
}

// read takes an answer apart. A server says itself who it is: what a broadcast comes from is
// an address of the interface.
func read(packet []byte, id dhcpv4.TransactionID) (Answer, bool) {
	reply, err := dhcpv4.FromBytes(packet)
	if err != nil || reply.OpCode != dhcpv4.OpcodeBootReply || reply.TransactionID != id {
		return Answer{}, false
	}
	kind := reply.MessageType()
	if kind != dhcpv4.MessageTypeAck && kind != dhcpv4.MessageTypeNak {
		return Answer{}, false
	}
	from, _ := netip.AddrFromSlice(reply.ServerIdentifier().To4())
	return Answer{from, kind, reply.Message()}, true
}
