package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"
)

// play is the part of the machines, in their namespace.
func play(ctx context.Context, folder string) error {
	if err := playKnown(ctx); err != nil {
		return fmt.Errorf("the known machine: %w", err)
	}
	if err := playStranger(ctx, folder); err != nil {
		return fmt.Errorf("the unknown machine: %w", err)
	}
	return nil
}

// playKnown boots a machine of the inventory: firmware, loader, iPXE.
func playKnown(ctx context.Context) error {
	m, err := newMachine(ctx, "node1")
	if err != nil {
		return err
	}
	defer m.conn.Close()
	fmt.Printf("\nA machine that the inventory knows, %v:\n", m.mac)
	ack, err := m.dora(firmware)
	if err != nil {
		return err
	}
	if err := m.fetch(ctx, ack, ack.BootFileNameOption()); err != nil {
		return err
	}
	offer, err := m.ask(dhcpv4.MessageTypeDiscover, ipxe)
	if err != nil {
		return err
	}
	fmt.Printf("  iPXE       script %s\n", offer.BootFileNameOption())
	return nil
}

// playStranger has a machine that is added to the inventory while it waits.
func playStranger(ctx context.Context, folder string) error {
	m, err := newMachine(ctx, "node2")
	if err != nil {
		return err
	}
	defer m.conn.Close()
	fmt.Printf("\nA machine that nobody knows, %v:\n", m.mac)
	ack, err := m.dora(ipxe)
	if err != nil {
		return err
	}
	if err := m.fetch(ctx, ack, ack.BootFileNameOption()); err != nil {
		return err
	}
	if err := addNode(folder); err != nil {
		return err
	}
	fmt.Println("  inventory  x3000c0s1b0n0 is node 2, 02:00:00:00:00:02 has 192.0.2.12")
	if err := m.move(ctx, ack.YourIPAddr); err != nil {
		return err
	}
	_, err = m.dora(firmware)
	return err
}

// addNode replaces the inventory in one step.
func addNode(folder string) error {
	path := filepath.Join(folder, "EthernetInterfaces.json")
	if err := os.WriteFile(path+".new", []byte("["+knownNode+","+newNode+"]"), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// move renews a temporary address until the server knows the machine by its
// real one: the refusal names the reason.
func (m *machine) move(ctx context.Context, temporary net.IP) error {
	for ctx.Err() == nil {
		nak, err := m.ask(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(temporary))
		if err != nil {
			return err
		}
		if nak.MessageType() != dhcpv4.MessageTypeNak {
			return fmt.Errorf("renewal of a temporary lease: %v, want NAK", nak.MessageType())
		}
		if text := nak.Message(); text == temporary.String()+" is not the address of this machine" {
			fmt.Printf("  renewal    NAK: %s\n", text)
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return ctx.Err()
}

// A machine is one network interface and the conversation of its firmware.
type machine struct {
	iface string
	mac   net.HardwareAddr
	conn  net.PacketConn
}

// newMachine listens for broadcasts on an interface that has no address.
func newMachine(ctx context.Context, iface string) (*machine, error) {
	nic, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	bind := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		control := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.BindToDevice(int(fd), iface))
		})
		return errors.Join(control, err)
	}}
	conn, err := bind.ListenPacket(ctx, "udp4", ":68")
	return &machine{iface, nic.HardwareAddr, conn}, err
}

func firmware(d *dhcpv4.DHCPv4) {
	d.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003016"))
	d.UpdateOption(dhcpv4.OptClientArch(iana.EFI_X86_64))
}

func ipxe(d *dhcpv4.DHCPv4) {
	firmware(d)
	d.UpdateOption(dhcpv4.OptUserClass("iPXE"))
}

// dora is the whole handshake: DISCOVER, OFFER, REQUEST, ACK.
func (m *machine) dora(kind dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	offer, err := m.ask(dhcpv4.MessageTypeDiscover, kind)
	if err != nil {
		return nil, err
	}
	fmt.Printf("  DISCOVER   OFFER of %v from %v\n", offer.YourIPAddr, offer.ServerIdentifier())
	ack, err := m.ask(dhcpv4.MessageTypeRequest, kind,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
	if err != nil {
		return nil, err
	}
	if ack.MessageType() != dhcpv4.MessageTypeAck {
		return nil, fmt.Errorf("%v, want ACK", ack.MessageType())
	}
	name := ack.HostName()
	if name == "" {
		name = "no host name"
	}
	fmt.Printf("  REQUEST    ACK of %v, %s, router %v, lease %v\n", ack.YourIPAddr, name, ack.Router()[0], ack.IPAddressLeaseTime(0))
	return ack, nil
}

// ask broadcasts a message and returns its reply.
func (m *machine) ask(kind dhcpv4.MessageType, with ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	req, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(m.mac), dhcpv4.WithBroadcast(true), dhcpv4.WithMessageType(kind),
	}, with...)...)
	if err != nil {
		return nil, err
	}
	for range 3 {
		if _, err := m.conn.WriteTo(req.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil {
			return nil, err
		}
		if reply := m.hear(req.TransactionID); reply != nil {
			return reply, nil
		}
	}
	return nil, fmt.Errorf("no answer to %v", kind)
}

// hear waits for the reply of a transaction; nil if none comes.
func (m *machine) hear(xid dhcpv4.TransactionID) *dhcpv4.DHCPv4 {
	_ = m.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	buffer := make([]byte, 1500)
	for {
		n, _, err := m.conn.ReadFrom(buffer)
		if err != nil {
			return nil
		}
		if reply, err := dhcpv4.FromBytes(buffer[:n]); err == nil && reply.TransactionID == xid {
			return reply
		}
	}
}

// fetch takes the address and loads the boot file from the next server.
func (m *machine) fetch(ctx context.Context, ack *dhcpv4.DHCPv4, name string) error {
	ones, _ := ack.SubnetMask().Size()
	address := fmt.Sprintf("%v/%d", ack.YourIPAddr, ones)
	if out, err := exec.CommandContext(ctx, "ip", "addr", "add", address, "dev", m.iface).CombinedOutput(); err != nil {
		return fmt.Errorf("ip addr add %s: %w: %s", address, err, out)
	}
	size, err := tftpGet(ack.ServerIPAddr, name)
	if err != nil {
		return fmt.Errorf("loading %s by TFTP: %w", name, err)
	}
	fmt.Printf("  boot file  %s, %d octets by TFTP from %v\n", name, size, ack.ServerIPAddr)
	if out, err := exec.CommandContext(ctx, "ip", "addr", "del", address, "dev", m.iface).CombinedOutput(); err != nil {
		return fmt.Errorf("ip addr del %s: %w: %s", address, err, out)
	}
	return nil
}
