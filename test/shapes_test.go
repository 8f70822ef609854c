package test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Every shape of configuration that sites have starts as it is written, but for the places of
// SMD and of files, and gives a fixed inventory the replies beside it.
func TestShapes(t *testing.T) {
	t.Parallel()
	shapes, err := filepath.Glob("testdata/shapes/*.yaml")
	if err != nil || len(shapes) == 0 {
		t.Fatalf("no shapes: %v", err)
	}
	s := newSite(t, dhcptest.SMDOptions{})
	secure := dhcptest.StartSMD(t, database.get(t), dhcptest.SMDOptions{Namespace: s.server, Listen: "127.0.0.1:8443", TLS: true})
	for _, smd := range []*dhcptest.SMDServer{s.smd, secure} {
		shapeInventory(smd)
	}
	clients := newShapeClients(s)
	for _, path := range shapes {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			config := strings.NewReplacer(
				"https://smd.example.org:8443", secure.URL(), "http://smd.example.org:27779", s.smd.URL(),
				"/root_ca/root_ca.crt", secure.CAFile, "/tmp/coredhcp.db", filepath.Join(t.TempDir(), "coredhcp.db"),
				"/tftpboot", s.tftp,
			).Replace(string(text))
			server := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
			s.checks(t, config) // beside the server: it binds and locks nothing
			defer server.Stop()
			replies := clients.replies(t)
			if strings.Contains(config, "server6:\n") {
				replies += clients.replies6(t)
			}
			dhcptest.Golden(t, "shapes/"+name, replies)
		})
	}
}

// checks has a configuration checked, which must find no error.
func (s *site) checks(t *testing.T, config string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, status := s.command("check", "-c", path); status != 0 || !strings.Contains(out, "\n0 errors, ") && !strings.HasPrefix(out, "0 errors, ") {
		t.Errorf("check: status %d\n%s", status, out)
	}
}

// shapeInventory is what all shapes are asked of.
func shapeInventory(smd *dhcptest.SMDServer) {
	smd.PostComponents(
		dhcptest.Component{ID: "x3000c0s0b0n0", State: "Ready", Type: "Node", NID: 1, Role: "Compute"},
		dhcptest.Component{ID: "x3000c0s1b0n0", State: "Ready", Type: "Node", NID: 2, Role: "Compute"},
		dhcptest.Component{ID: "x3000c0s2b0n0", State: "Ready", Type: "Node", NID: 3, Role: "Management"},
		dhcptest.Component{ID: "x3000c0s0b0", State: "Ready", Type: "NodeBMC"},
		dhcptest.Component{ID: "x3000c0r1b0", State: "Ready", Type: "RouterBMC"},
		dhcptest.Component{ID: "x3000c0w14", State: "Ready", Type: "MgmtSwitch"},
	)
	nic := func(n int, id string, addrs ...string) dhcptest.Interface {
		return dhcptest.Interface{MAC: dhcptest.MAC(n).String(), ComponentID: id, Addresses: dhcptest.IPs(addrs...)}
	}
	smd.PostInterfaces(
		nic(1, "x3000c0s0b0n0", "192.0.2.11", "2001:db8:1::11"),
		nic(2, "x3000c0s1b0n0", "192.0.2.12", "198.51.100.12"),
		nic(3, "x3000c0s2b0n0"),
		nic(4, "x3000c0s0b0", "192.0.2.14"),
		nic(5, "x3000c0s0b0n0", "192.0.2.15"),
		nic(6, "x3000c0r1b0", "192.0.2.16"),
		nic(7, "x3000c0w14", "192.0.2.17"),
	)
}

// A shapeRequest is one request that every shape is asked.
type shapeRequest struct {
	who  string
	mac  int
	kind dhcpv4.MessageType
	with []dhcpv4.Modifier
}

func (r shapeRequest) relayed() bool {
	d, err := dhcpv4.New(r.with...)
	return err == nil && !d.GatewayIPAddr.IsUnspecified()
}

// shapeRequests are asked one after the other: strangers get the addresses of a pool in
// this order.
func shapeRequests() []shapeRequest {
	const discover, request = dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	far := dhcptest.Relay("198.51.100.1")
	ipxe := dhcpv4.WithOption(dhcpv4.OptUserClass("iPXE"))
	with := func(m ...dhcpv4.Modifier) []dhcpv4.Modifier { return m }
	return []shapeRequest{
		{"node", 1, discover, nil},
		{"node, its address", 1, request, with(dhcptest.Server("192.0.2.1"), dhcptest.Requested("192.0.2.11"))},
		{"node, another address", 1, request, with(dhcptest.Requested("192.0.2.200"))},
		{"node, BIOS", 1, discover, with(dhcptest.PXE(iana.INTEL_X86PC))},
		{"node, UEFI x86-64", 1, discover, with(dhcptest.PXE(iana.EFI_X86_64))},
		{"node, UEFI ARM64", 1, discover, with(dhcptest.PXE(iana.EFI_ARM64))},
		{"node, iPXE", 1, discover, with(dhcptest.PXE(iana.EFI_X86_64), ipxe)},
		{"second interface of the node", 5, discover, nil},
		{"node of two networks", 2, discover, nil},
		{"node of two networks, far", 2, discover, with(far)},
		{"node of two networks, far, iPXE", 2, discover, with(far, ipxe)},
		{"node of one network, far", 1, discover, with(far)},
		{"node without an address", 3, discover, nil},
		{"BMC", 4, discover, nil},
		{"BMC of a router", 6, discover, nil},
		{"switch", 7, discover, nil},
		{"stranger", 0x99, discover, nil},
		{"stranger, UEFI x86-64", 0x99, discover, with(dhcptest.PXE(iana.EFI_X86_64))},
		{"stranger, iPXE", 0x99, discover, with(ipxe)},
		{"stranger, far", 0x98, discover, with(far)},
		{"health probe", 0, request, with(dhcptest.Ciaddr("192.0.2.1"))},
	}
}

// shapeClients is a host that asks as any client and as a relay.
type shapeClients struct {
	near, far net.PacketConn
	relay6    net.PacketConn // that a relay of DHCPv6 has
	heard     chan *dhcpv4.DHCPv4
	round     byte // of requests: an answer to another round is left alone
}

func newShapeClients(s *site) *shapeClients {
	s.t.Helper()
	ns := s.net.Namespace("clients")
	ns.Attach(s.lan, "eth0", dhcptest.MAC(0x300), netip.MustParsePrefix("192.0.2.4/24"))
	ns.IP("addr", "add", "198.51.100.1/32", "dev", "lo")
	ns.IP("route", "add", "default", "dev", "eth0")
	s.server.IP("route", "add", "198.51.100.0/24", "via", "192.0.2.4")
	ns.IP("addr", "add", "2001:db8:1::4/64", "dev", "eth0", "nodad")
	s.server.IP("addr", "add", "2001:db8:1::1/64", "dev", "eth0", "nodad")
	c := &shapeClients{heard: make(chan *dhcpv4.DHCPv4, 64)}
	relay6, err := ns.ListenPacket("udp6", "[2001:db8:1::4]:547")
	if err != nil {
		s.t.Fatal(err)
	}
	c.relay6 = relay6
	s.t.Cleanup(func() { relay6.Close() })
	for conn, addr := range map[*net.PacketConn]string{&c.near: ":68", &c.far: "198.51.100.1:67"} {
		opened, err := ns.ListenPacket("udp4", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		*conn = opened
		s.t.Cleanup(func() { opened.Close() })
		go c.hear(opened)
	}
	return c
}

func (c *shapeClients) hear(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply, err := dhcpv4.FromBytes(buf[:n]); err == nil {
			c.heard <- reply
		}
	}
}

// replies asks everything and returns a line for each answer. What is answered with silence
// is waited for once, together.
func (c *shapeClients) replies(t *testing.T) string {
	t.Helper()
	c.round++
	requests := shapeRequests()
	lines := make([]string, len(requests))
	for i, r := range requests {
		c.ask(t, i, r)
		c.wait(lines, i, 300*time.Millisecond)
	}
	c.wait(lines, len(lines), time.Second)
	var b strings.Builder
	for i, r := range requests {
		if lines[i] == "" {
			lines[i] = "silence"
		}
		fmt.Fprintf(&b, "%s\n  %v: %s\n", r.who, r.kind, lines[i])
	}
	return b.String()
}

func (c *shapeClients) ask(t *testing.T, i int, r shapeRequest) {
	t.Helper()
	mods := append([]dhcpv4.Modifier{dhcpv4.WithBroadcast(!r.relayed())}, r.with...)
	req := dhcptest.Request4(t, net.HardwareAddr{2, 0, 0, 0, 0, byte(r.mac)}.String(), r.kind, mods...)
	req.TransactionID[2], req.TransactionID[3] = c.round, byte(i)
	conn, to := c.near, net.IPv4bcast
	if r.relayed() {
		conn, to = c.far, net.IP(serverIP.AsSlice())
	}
	if _, err := conn.WriteTo(req.ToBytes(), &net.UDPAddr{IP: to, Port: dhcpv4.ServerPort}); err != nil {
		t.Fatal(err)
	}
}

// wait notes answers until that to the i-th request is there or the time is over.
func (c *shapeClients) wait(lines []string, i int, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case reply := <-c.heard:
			at := int(reply.TransactionID[3])
			if reply.TransactionID[2] != c.round {
				continue
			}
			if at < len(lines) {
				lines[at] = shapeLine(reply)
			}
			if at == i {
				return
			}
		}
	}
}

// shapeLine is a whole reply but for what all have: xid, chaddr and the message type.
func shapeLine(d *dhcpv4.DHCPv4) string {
	words := []string{d.MessageType().String()}
	add := func(name string, value any) { words = append(words, fmt.Sprintf("%s=%v", name, value)) }
	if !d.YourIPAddr.IsUnspecified() {
		add("yiaddr", d.YourIPAddr)
	}
	if !d.ServerIPAddr.IsUnspecified() {
		add("siaddr", d.ServerIPAddr)
	}
	if !d.GatewayIPAddr.IsUnspecified() {
		add("giaddr", d.GatewayIPAddr)
	}
	if d.BootFileName != "" {
		add("file", d.BootFileName)
	}
	var codes []int
	for code := range d.Options {
		codes = append(codes, int(code))
	}
	slices.Sort(codes)
	for _, code := range codes {
		if option := dhcpv4.GenericOptionCode(code); code != int(dhcpv4.OptionDHCPMessageType.Code()) {
			add(fmt.Sprint(code), shapeValue(code, d.Options.Get(option)))
		}
	}
	return strings.Join(words, " ")
}

// shapeValue writes an option as it is read: addresses, seconds, text or octets.
func shapeValue(code int, value []byte) string {
	switch {
	case slices.Contains([]int{1, 3, 6, 42, 54}, code) && len(value)%4 == 0:
		var addrs []string
		for four := range slices.Chunk(value, 4) {
			addrs = append(addrs, net.IP(four).String())
		}
		return strings.Join(addrs, "|")
	case slices.Contains([]int{51, 58, 59}, code) && len(value) == 4:
		return fmt.Sprint(time.Duration(uint32(value[0])<<24|uint32(value[1])<<16|uint32(value[2])<<8|uint32(value[3])) * time.Second)
	case !slices.ContainsFunc(value, func(b byte) bool { return b < ' ' || b > '~' }):
		return strings.ReplaceAll(string(value), " ", "_")
	}
	return fmt.Sprintf("%x", value)
}
