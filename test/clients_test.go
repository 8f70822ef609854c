package test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// Every client, as distributions ship it, ends with SMD's address and the whole set of
// options.
func TestClientsBind(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	tests := map[string]struct {
		mac  int
		bind func(*dhcptest.Namespace, string, dhcptest.ClientOptions) dhcptest.Bound
		// silent is set for a client that does not tell its script about siaddr.
		silent bool
	}{
		"udhcpc":   {mac: 1, bind: dhcptest.Udhcpc},
		"dhclient": {mac: 2, bind: dhcptest.Dhclient},
		"dhcpcd":   {mac: 3, bind: dhcptest.Dhcpcd, silent: true},
	}
	for _, tt := range tests {
		s.addNode(tt.mac, fmt.Sprintf("192.0.2.%d", 10+tt.mac))
	}
	s.serve(s.words())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := nodeLease(tt.mac, fmt.Sprintf("192.0.2.%d", 10+tt.mac))
			if tt.silent {
				want.NextServer = netip.Addr{}
			}
			compare(t, want, tt.bind(s.host(tt.mac), "eth0", dhcptest.ClientOptions{}))
		})
	}
}

// SMD behind HTTPS with a certificate of a site's own authority.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true})
	s.addNode(1, "192.0.2.11")
	s.serve(fmt.Sprintf("svc_base_uri=%s ipxe_base_uri=http://192.0.2.1:8081 ca_cert=%s cache_valid=1s lease_time=1h tftp_dir=%s",
		s.smd.URL(), s.smd.CAFile, s.tftp))
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
}

// A certificate that another authority signed is not believed, and the log says so.
func TestTLSWrongAuthority(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true})
	s.addNode(1, "192.0.2.11")
	other := filepath.Join(t.TempDir(), "other.pem")
	dhcptest.NewAuthority(t, "somebody else").WriteFile(other)
	dhcp := s.serve(fmt.Sprintf("svc_base_uri=%s ipxe_base_uri=http://192.0.2.1:8081 ca_cert=%s cache_valid=1s lease_time=1h tftp_dir=%s",
		s.smd.URL(), other, s.tftp))
	dhcp.WaitLog(`certificate signed by unknown authority`, takesUp)
	strange(t, dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
}

// Each interface of a node has its own address; the name is the node's.
func TestNodeWithTwoInterfaces(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(2).String(), ComponentID: "x3000c0s1b0n0", Addresses: dhcptest.IPs("192.0.2.12")})
	s.serve(s.words())
	node := s.host(1)
	node.Attach(s.lan, "eth1", dhcptest.MAC(2))
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}))
	compare(t, nodeLease(1, "192.0.2.12"), dhcptest.Udhcpc(node, "eth1", dhcptest.ClientOptions{}))
}

// What real inventories hold in the place of one plain address.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	tests := map[string]struct {
		mac   int
		addrs []string
		want  string // empty for a temporary address
	}{
		"IPv6 first":          {mac: 1, addrs: []string{"2001:db8::11", "192.0.2.11"}, want: "192.0.2.11"},
		"with a mask":         {mac: 2, addrs: []string{"192.0.2.12/24"}, want: "192.0.2.12"},
		"blanks":              {mac: 3, addrs: []string{" 192.0.2.13 "}, want: "192.0.2.13"},
		"broken before whole": {mac: 4, addrs: []string{"999.1.2.3", "192.0.2.14"}, want: "192.0.2.14"},
		"two":                 {mac: 5, addrs: []string{"192.0.2.15", "192.0.2.115"}, want: "192.0.2.15"},
		"none":                {mac: 6},
		"only broken":         {mac: 7, addrs: []string{"999.1.2.3"}},
	}
	for _, tt := range tests {
		s.addNode(tt.mac, tt.addrs...)
	}
	s.serve(s.words())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := dhcptest.Udhcpc(s.host(tt.mac), "eth0", dhcptest.ClientOptions{})
			if tt.want == "" {
				strange(t, got)
				return
			}
			compare(t, nodeLease(tt.mac, tt.want), got)
		})
	}
}

// A client behind a relay has an address, router and dns of its own network, and renews
// through the router. A node with an address in each network has the one of where it is.
func TestRelay(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"plain": nil, "option 82": {"-a"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, dhcptest.SMDOptions{})
			s.addNode(1, "192.0.2.11", "198.51.100.11")
			s.addNode(2, "192.0.2.12", "198.51.100.12")
			far := s.farSite(flags...)
			s.serve(s.words("subnet=192.0.2.0/24,router:192.0.2.254", "subnet=198.51.100.0/24,router:198.51.100.1,dns:198.51.100.53"))

			compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))

			want := nodeLease(2, "198.51.100.12")
			want.Routers, want.DNS = []netip.Addr{farGateway}, []netip.Addr{netip.MustParseAddr("198.51.100.53")}
			node := s.net.Namespace("far2")
			node.Attach(far, "eth0", dhcptest.MAC(2))
			client := dhcptest.StartUdhcpc(node, "eth0", dhcptest.ClientOptions{})
			compare(t, want, client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
			client.Renew()
			compare(t, want, client.WaitEvent(dhcptest.EventRenew, takesUp))
		})
	}
}

// A node that is posted to SMD moves from its temporary address to its own, without a
// restart.
func TestNewNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.serve(s.words())
	client := dhcptest.StartUdhcpc(s.host(2), "eth0", dhcptest.ClientOptions{})
	strange(t, client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	s.addNode(2, "192.0.2.12")
	moves(t, client, nodeLease(2, "192.0.2.12"))
}

// When SMD gives a node another address, the node's next renewal is refused and it ends
// with the new address.
func TestChangedAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.serve(s.words())
	client := dhcptest.StartUdhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))

	client.Renew()
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventRenew, takesUp))

	s.smd.PatchInterface(dhcptest.MAC(1).String(), dhcptest.IPs("192.0.2.21"))
	moves(t, client, nodeLease(1, "192.0.2.21"))
}

// A node that reboots asks for the address it had; it gets it confirmed for as long as it
// is the one in SMD.
func TestReboot(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	dhcp := s.serve(s.words())
	client := dhcptest.StartDhclient(s.host(1), "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))

	client.WaitLog(`bound to`, takesUp) // the lease file is written
	client.Restart()
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventReboot, dhcptest.BindTimeout))
	client.WaitLog(`bound to`, takesUp)
	client.Stop()
	mark := dhcp.Mark()
	s.smd.PatchInterface(dhcptest.MAC(1).String(), dhcptest.IPs("192.0.2.21"))
	dhcp.WaitLogSince(mark, `level=info.*inventory of`, takesUp)
	client.Restart()
	compare(t, nodeLease(1, "192.0.2.21"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	if !strings.Contains(client.Log(), "DHCPNAK") {
		t.Errorf("the old address was not refused:\n%s", client.Log())
	}
}

// A lease that is given back is given again: SMD's address is the node's for good.
func TestRelease(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.serve(s.words())
	client := dhcptest.StartUdhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
	client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	client.Release()
	client.WaitEvent(dhcptest.EventDeconfig, takesUp)
	client.Renew()
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
}

// A node that is deleted from SMD is a stranger again.
func TestDeletedNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.addNode(2, "192.0.2.12")
	s.serve(s.words())
	node := s.host(1)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}))
	s.smd.DeleteInterface(dhcptest.MAC(1).String())
	dhcptest.Eventually(t, takesUp, func() error {
		if got := dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}); !isTemporary(got) {
			return fmt.Errorf("the node still gets %v", got.Addr)
		}
		time.Sleep(200 * time.Millisecond)
		return nil
	})
}
