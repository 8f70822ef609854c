package dhcptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Events of DHCPv6 clients.
const (
	EventBound6  = "bound6"
	EventRenew6  = "renew6"
	EventRebind6 = "rebind6"
	EventExpire6 = "expire6"
	EventReboot6 = "reboot6" // dhcpcd was confirmed the lease of its file
)

// Bound6 is what a client says that it was given by DHCPv6. A field is zero when the client
// was given nothing or does not tell.
type Bound6 struct {
	Addr             netip.Addr
	Preferred, Valid time.Duration
	T1, T2           time.Duration
	DNS              []netip.Addr
	Search           string
	FQDN             string
}

// DiffBound6 is empty when two bound states are equal, else it says what differs.
func DiffBound6(want, got Bound6) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty())
}

// Client6 is a real DHCPv6 client that runs in a namespace.
type Client6 struct{ *Client }

// StartDhclient6 starts ISC's client, with a DUID-LLT, which goes on after it is bound.
func StartDhclient6(ns *Namespace, iface string) *Client6 {
	ns.t.Helper()
	c := newClient(ns, ClientOptions{}, dhclient6Script)
	c.write("conf", "request dhcp6.name-servers, dhcp6.domain-search, dhcp6.fqdn;\n", 0o644)
	c.write("leases", "", 0o644)
	c.start(ns, Need(ns.t, "dhclient", "isc-dhcp-client"),
		"-6", "-d", "-1", "-D", "LLT", "-cf", c.path("conf"), "-lf", c.path("leases"), "-pf", c.path("pid"), "-sf", c.path("script"), iface)
	return &Client6{c}
}

// StartDhcpcd6 starts dhcpcd, with a DUID-LL and for IPv6 only, without waiting for a router
// to advertise DHCPv6.
func StartDhcpcd6(ns *Namespace, iface string) *Client6 { return StartDhcpcd6As(ns, iface, "ll") }

// StartDhcpcd6As is StartDhcpcd6 with a DUID of another kind, or with these octets.
func StartDhcpcd6As(ns *Namespace, iface, duid string) *Client6 {
	ns.t.Helper()
	c := newClient(ns, ClientOptions{}, dhcpcdScript)
	c.write("conf", strings.Join([]string{
		"duid " + duid, "option dhcp6_name_servers, dhcp6_domain_search", "noipv4", "noipv6rs", "persistent", "timeout 30", "hostname client", "fqdn both",
		"interface " + iface, "dhcp6", "ia_na 1",
	}, "\n")+"\n", 0o644)
	const private = `mount -t tmpfs none /run && mount -t tmpfs none /var/lib/dhcpcd && mkdir /run/dhcpcd && exec "$@"`
	c.start(ns, "sh", "-c", private, "sh", Need(ns.t, "dhcpcd", "dhcpcd-base"),
		"-6", "-B", "-d", "-f", c.path("conf"), "-c", c.path("script"), iface)
	c.mayHang = true
	return &Client6{c}
}

// dhclient6Script configures the addresses. The client sends when its link-local address is
// to be used. An address that somebody else has is gone after the kernel's detection:
// status 3 has the client decline it.
const dhclient6Script = recordScript + `case "$reason" in
PREINIT6)
	ip link set $interface up
	for try in 1 2 3 4 5 6 7 8 9 10; do
		ip -6 addr show dev $interface scope link | grep -q inet6 && ! ip -6 addr show dev $interface tentative | grep -q inet6 && break
		sleep 0.5
	done ;;
BOUND6|RENEW6|REBIND6)
	[ -z "$old_ip6_address" ] || [ "$old_ip6_address" = "$new_ip6_address" ] || ip -6 addr del $old_ip6_address/128 dev $interface
	ip -6 addr replace $new_ip6_address/128 dev $interface valid_lft $new_max_life preferred_lft $new_preferred_life
	for try in 1 2 3 4 5 6 7 8 9 10; do
		ip -6 addr show dev $interface to $new_ip6_address tentative | grep -q inet6 || break
		sleep 0.5
	done
	ip -6 addr show dev $interface to $new_ip6_address | grep -q inet6 || exit 3 ;;
EXPIRE6|RELEASE6|STOP6) ip -6 addr del $old_ip6_address/128 dev $interface ;;
esac
exit 0
`

// WaitEvent waits for the next event of that name, skipping others, and returns what the
// client then said that it has. An event is returned once.
func (c *Client6) WaitEvent(event string, timeout time.Duration) Bound6 {
	c.t.Helper()
	bound, err := c.NextEvent(event, timeout)
	if err != nil {
		c.t.Fatal(err)
	}
	return bound
}

// NextEvent is WaitEvent for a caller that goes on without the event.
func (c *Client6) NextEvent(event string, timeout time.Duration) (Bound6, error) {
	env, err := c.nextEnv(event, timeout)
	if err != nil {
		return Bound6{}, err
	}
	return parseBound6(env)
}

// Release6 has dhclient give its lease back.
func (c *Client6) Release6() {
	c.t.Helper()
	c.Stop()
	command := c.command()
	command.Args = append(slices.Clone(command.Args), "-r")
	if out, err := command.CombinedOutput(); err != nil {
		c.t.Fatalf("releasing the lease: %v\n%s", err, out)
	}
}

// parseBound6 reads the variables of both clients. That of dhcpcd names those of an address
// after its place.
func parseBound6(env map[string]string) (Bound6, error) {
	p := envParser{env: env}
	const ia = "new_dhcp6_ia_na1_"
	b := Bound6{
		Addr:      p.addr(p.first("new_ip6_address", ia+"ia_addr1")),
		Preferred: p.seconds(p.first("new_preferred_life", ia+"ia_addr1_pltime")),
		Valid:     p.seconds(p.first("new_max_life", ia+"ia_addr1_vltime")),
		T1:        p.seconds(p.first("new_renew", ia+"t1")),
		T2:        p.seconds(p.first("new_rebind", ia+"t2")),
		DNS:       p.addrs(p.first("new_dhcp6_name_servers")),
		Search:    strings.TrimSuffix(p.first("new_dhcp6_domain_search"), "."),
		FQDN:      strings.TrimSuffix(p.first("new_fqdn_fqdn", "new_dhcp6_fqdn_fqdn", "new_dhcp6_fqdn"), "."),
	}
	return b, p.err
}

// StartNetworkd starts systemd's client, with a DUID-LL, as it runs in a container: without
// udev and D-Bus. What it is given shows on the interface only.
func StartNetworkd(ns *Namespace, iface string) *Process {
	ns.t.Helper()
	c := newClient(ns, ClientOptions{}, recordScript)
	c.write("eth.network", strings.Join([]string{
		"[Match]", "Name=" + iface,
		"[Network]", "DHCP=ipv6", "IPv6AcceptRA=no", "LinkLocalAddressing=ipv6",
		"[DHCPv6]", "DUIDType=link-layer", "WithoutRA=solicit",
	}, "\n")+"\n", 0o644)
	const private = `mount -t tmpfs none /run && mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases && cp eth.network /run/systemd/network/ &&
		mount -o remount,ro /sys && exec env SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console "$@"`
	const networkd = "/lib/systemd/systemd-networkd"
	if _, err := os.Stat(networkd); err != nil {
		ns.t.Fatalf("%s is missing: apt-get install systemd", networkd)
	}
	return c.start(ns, "sh", "-c", private, "sh", networkd).Process
}

// An Addr6 is an address of an interface with its lifetimes as they are now.
type Addr6 struct {
	Addr             netip.Addr
	Preferred, Valid time.Duration
}

// Addrs6 returns the global IPv6 addresses of an interface that may be used.
func (ns *Namespace) Addrs6(iface string) []Addr6 {
	ns.t.Helper()
	var links []struct {
		Addrs []struct {
			Local      netip.Addr
			Scope      string
			Tentative  bool
			DADFailed  bool   `json:"dadfailed"`
			Preferred  uint32 `json:"preferred_life_time"`
			Valid      uint32 `json:"valid_life_time"`
			Deprecated bool
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(ns.IP("-6", "-j", "addr", "show", "dev", iface)), &links); err != nil {
		ns.t.Fatal(err)
	}
	var addrs []Addr6
	for _, link := range links {
		for _, a := range link.Addrs {
			if a.Scope == "global" && !a.Tentative && !a.DADFailed {
				addrs = append(addrs, Addr6{a.Local, time.Duration(a.Preferred) * time.Second, time.Duration(a.Valid) * time.Second})
			}
		}
	}
	return addrs
}

// WaitAddr6 waits until an interface has this one global address.
func (ns *Namespace) WaitAddr6(iface string, want netip.Addr, timeout time.Duration) Addr6 {
	ns.t.Helper()
	var addrs []Addr6
	Eventually(ns.t, timeout, func() error {
		if addrs = ns.Addrs6(iface); len(addrs) != 1 || addrs[0].Addr != want {
			return fmt.Errorf("%s of %s has %v, want %v", iface, ns.Name, addrs, want)
		}
		return nil
	})
	return addrs[0]
}

// QuickDAD makes addresses of the namespace usable at once: nobody is asked whether he has
// them. Call it before Attach.
func (ns *Namespace) QuickDAD() {
	ns.t.Helper()
	ns.Run("sh", "-c", "for f in all default; do echo 0 > /proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/$f/router_solicitations; done")
}

// Forward6 makes the namespace a router of IPv6.
func (ns *Namespace) Forward6() {
	ns.t.Helper()
	ns.Run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
}

// StartDhcrelay6 starts ISC's relay for DHCPv6, which forwards what it hears on the interface
// below to a server, and returns when it is ready.
func StartDhcrelay6(ns *Namespace, below, above string, server netip.Addr, flags ...string) *Process {
	ns.t.Helper()
	args := append([]string{"-6", "-d", "--no-pid"}, flags...)
	args = append(args, "-l", below, "-u", server.String()+"%"+above)
	p := StartProcess(ns.t, "dhcrelay -6", ns.Command(context.Background(), Need(ns.t, "dhcrelay", "isc-dhcp-relay"), args...))
	p.WaitLog(`Sending on +Socket/`+below, 5*time.Second)
	return p
}

// Settle6 waits until a namespace's own addresses may be used.
func Settle6(t testing.TB, ns *Namespace, iface string) {
	t.Helper()
	Eventually(t, 10*time.Second, func() error {
		if text := ns.IP("-6", "addr", "show", "dev", iface, "tentative"); strings.Contains(text, "inet6") {
			return fmt.Errorf("an address is tentative: %s", text)
		}
		return nil
	})
}
