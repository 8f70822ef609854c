// Package test runs the built coredhcp against real parts: SMD on PostgreSQL, DHCP clients,
// a relay and a TFTP client, in network namespaces that each test makes for itself.
package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// database is the one PostgreSQL of this package, started by the first test that needs it;
// each test has its own database in it.
var database shared

// shared starts a PostgreSQL once.
type shared struct {
	once sync.Once
	pg   *dhcptest.Postgres
	err  error
}

func (s *shared) get(t *testing.T) *dhcptest.Postgres {
	t.Helper()
	s.once.Do(func() { s.pg, s.err = dhcptest.NewPostgres() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.pg
}

// stop ends the server, if it was started, once all tests are done.
func (s *shared) stop() error {
	if s.pg == nil {
		return nil
	}
	return s.pg.Stop()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := database.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// The addresses of every site. SMD listens on the server's loopback.
var (
	serverIP   = netip.MustParseAddr("192.0.2.1")
	relayIP    = netip.MustParseAddr("192.0.2.2")
	farGateway = netip.MustParseAddr("198.51.100.1")
)

// takesUp is how soon a change in SMD must be seen with the cache validity of these tests
// (1 s): the poll with its jitter, a client's pause between two packets, a busy machine.
const takesUp = 8 * time.Second

// raced says that the server has the race detector, which takes several times the memory and the
// time: bounds of those are not for it.
func raced() bool { return os.Getenv("GORACE") != "" }

// site is a DHCP server beside its SMD, on a wire that clients are plugged into.
type site struct {
	t      *testing.T
	net    *dhcptest.Net
	lan    *dhcptest.Wire
	server *dhcptest.Namespace
	smd    *dhcptest.SMDServer
	tftp   string // folder with the loaders

	asking sync.Once
	tap    *dhcptest.Tap // of a machine that asks
}

// newSite makes a site with an empty SMD.
func newSite(t *testing.T, opts dhcptest.SMDOptions) *site {
	t.Helper()
	s := newWiring(t)
	opts.Namespace = s.server
	s.smd = dhcptest.StartSMD(t, database.get(t), opts)
	return s
}

// newWiring makes a site without an SMD.
func newWiring(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, net: dhcptest.NewNet(t), tftp: t.TempDir()}
	s.lan = s.net.Wire("lan")
	s.server = s.net.Namespace("server")
	s.server.Attach(s.lan, "eth0", dhcptest.MAC(0x100), netip.PrefixFrom(serverIP, 24))
	return s
}

// host plugs a client's machine with one interface into the lan.
func (s *site) host(mac int) *dhcptest.Namespace {
	s.t.Helper()
	ns := s.net.Namespace(fmt.Sprintf("host%x", mac))
	ns.Attach(s.lan, "eth0", dhcptest.MAC(mac))
	return ns
}

// words is the directive of most tests in key=value form; later words are added.
func (s *site) words(more ...string) string {
	words := []string{"svc_base_uri=http://127.0.0.1:27779", "ipxe_base_uri=http://192.0.2.1:8081", "cache_valid=1s", "lease_time=1h", "tftp_dir=" + s.tftp}
	return strings.Join(append(words, more...), " ")
}

// config is a whole configuration with the given coresmd directives. Whom coresmd does not
// know gets a temporary address from the range plugin of CoreDHCP.
func (s *site) config(directives ...string) string {
	text := `server4:
  listen:
    - "%eth0"
  plugins:
    - server_id: 192.0.2.1
    - dns: 192.0.2.53
    - router: 192.0.2.254
    - netmask: 255.255.255.0
`
	for _, words := range directives {
		text += "    - coresmd: " + words + "\n"
	}
	return text + "    - range: " + filepath.Join(s.t.TempDir(), "leases.db") + " 192.0.2.200 192.0.2.220 60s\n"
}

// isTemporary tells whether a lease is one of those for strangers.
func isTemporary(b dhcptest.Bound) bool {
	addr := b.Addr.Addr()
	return addr.Is4() && addr.As4()[3] >= 200
}

// serve starts the server with the given coresmd directives.
func (s *site) serve(directives ...string) *dhcptest.Process {
	s.t.Helper()
	return dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(s.t), s.config(directives...))
}

// addNode tells SMD of a node x3000c0s<n>b0n0 with NID n, MAC n and these addresses.
func (s *site) addNode(n int, addrs ...string) {
	s.t.Helper()
	id := fmt.Sprintf("x3000c0s%db0n0", n)
	s.smd.PostComponents(dhcptest.Component{ID: id, State: "Ready", Type: "Node", NID: n, Role: "Compute"})
	s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(n).String(), ComponentID: id, Addresses: dhcptest.IPs(addrs...)})
}

// nodeLease is what a node with this NID and address is to be given on the lan.
func nodeLease(nid int, addr string) dhcptest.Bound {
	b := lanLease(addr)
	b.Hostname = fmt.Sprintf("nid%04d", nid)
	return b
}

// lanLease is what a machine without a name is to be given on the lan.
func lanLease(addr string) dhcptest.Bound {
	return dhcptest.Bound{
		Addr:       netip.PrefixFrom(netip.MustParseAddr(addr), 24),
		Routers:    []netip.Addr{netip.MustParseAddr("192.0.2.254")},
		DNS:        []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		LeaseTime:  time.Hour,
		T1:         30 * time.Minute,
		T2:         52*time.Minute + 30*time.Second,
		ServerID:   serverIP,
		NextServer: serverIP,
	}
}

// compare reports how a lease differs from the one wanted.
func compare(t *testing.T, want, got dhcptest.Bound) {
	t.Helper()
	if diff := dhcptest.DiffBound(want, got); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
}

// strange reports a lease that is not one of those for strangers.
func strange(t *testing.T, got dhcptest.Bound) {
	t.Helper()
	if !isTemporary(got) {
		t.Errorf("got %v, want a temporary address", got.Addr)
	}
}

// moves has a client renew until it is refused, as it must be soon after SMD has learnt
// something else of it, and compares the lease that it ends with.
func moves(t *testing.T, client *dhcptest.Client, want dhcptest.Bound) {
	t.Helper()
	dhcptest.Eventually(t, takesUp, func() error {
		client.Renew()
		_, err := client.NextEvent(dhcptest.EventNAK, time.Second)
		return err
	})
	compare(t, want, client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
}

// farSite adds a second network behind a relay to a site, and returns its wire.
func (s *site) farSite(flags ...string) *dhcptest.Wire {
	s.t.Helper()
	return s.farNetwork("far", farGateway, relayIP, flags...)
}

// farNetwork adds a network behind a relay that has the gateway's address there and another
// one on the lan, and returns its wire.
func (s *site) farNetwork(name string, gateway, relayIP netip.Addr, flags ...string) *dhcptest.Wire {
	s.t.Helper()
	far := s.net.Wire(name)
	relay := s.net.Namespace("relay" + name)
	last := int(relayIP.As4()[3])
	relay.Attach(far, "eth0", dhcptest.MAC(0x200+2*last), netip.PrefixFrom(gateway, 24))
	relay.Attach(s.lan, "eth1", dhcptest.MAC(0x201+2*last), netip.PrefixFrom(relayIP, 24))
	relay.Forward()
	s.server.IP("route", "add", netip.PrefixFrom(gateway, 24).Masked().String(), "via", relayIP.String())
	dhcptest.StartDhcrelay(relay, "eth0", "eth1", serverIP, flags...)
	return far
}

// countLines counts the lines that match an expression.
func countLines(text, expr string) int {
	return strings.Count(grep(text, expr), "\n")
}

// grep returns the lines that match an expression.
func grep(text, expr string) string {
	re := regexp.MustCompile(expr)
	var found strings.Builder
	for line := range strings.Lines(text) {
		if re.MatchString(line) {
			found.WriteString(line)
		}
	}
	return found.String()
}
