package dhcptest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// BindTimeout is how long a client may take for DISCOVER..ACK. Its first packet may be lost
// while a bridge comes up, and the second one leaves seconds later.
const BindTimeout = 20 * time.Second

// Events of clients; other events have the name that the client gives them, in lower case.
const (
	EventBound    = "bound"
	EventRenew    = "renew"
	EventNAK      = "nak"
	EventDeconfig = "deconfig"  // udhcpc has no address now
	EventFail     = "leasefail" // udhcpc got no lease
	EventReboot   = "reboot"    // dhclient was confirmed the lease of its file
)

// Bound is what a client says that it was given. A field is zero when the client was given
// nothing or does not tell.
type Bound struct {
	Addr       netip.Prefix
	Routers    []netip.Addr
	DNS        []netip.Addr
	Hostname   string
	Domain     string
	LeaseTime  time.Duration
	T1, T2     time.Duration
	ServerID   netip.Addr
	NextServer netip.Addr // siaddr
	File       string     // the header's field
	BootFile   string     // option 67
	TFTPServer string     // option 66
	RootPath   string     // option 17
}

// DiffBound is empty when two bound states are equal, else it says what differs.
func DiffBound(want, got Bound) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty())
}

// ClientOptions is what a client is told to send. Not every client can do everything;
// what one cannot is a failure of the test.
type ClientOptions struct {
	// Hostname is the name that the client gives itself.
	Hostname string
	// VendorClass is option 60; empty is the client's own.
	VendorClass string
	// Send are further options as udhcpc takes them, such as 0x5d:0007 (hex digits).
	Send []string
	// Ask are further options to ask for, by udhcpc's names or numbers.
	Ask []string
	// Address is the address asked for in the first DISCOVER.
	Address netip.Addr
	// Probe looks for the address on the wire before using it, and declines it if it is there.
	Probe bool
	// Wait is how long to wait for a lease; zero is BindTimeout.
	Wait time.Duration
}

// Client is a real DHCP client that runs in a namespace.
type Client struct {
	*Process

	t       testing.TB
	command func() *exec.Cmd
	dir     string
	seen    int // events that were waited for
	wait    time.Duration
}

// Udhcpc runs busybox's client until it is bound, and returns what it was given. The
// address stays configured.
func Udhcpc(ns *Namespace, iface string, opts ClientOptions) Bound {
	ns.t.Helper()
	return StartUdhcpc(ns, iface, opts).bindOnce()
}

// Dhclient runs ISC's client until it is bound, and returns what it was given.
func Dhclient(ns *Namespace, iface string, opts ClientOptions) Bound {
	ns.t.Helper()
	return StartDhclient(ns, iface, opts).bindOnce()
}

// Dhcpcd runs dhcpcd until it is bound, and returns what it was given.
func Dhcpcd(ns *Namespace, iface string, opts ClientOptions) Bound {
	ns.t.Helper()
	return StartDhcpcd(ns, iface, opts).bindOnce()
}

// StartUdhcpc starts busybox's client, which goes on after it is bound. It sends four
// DISCOVERs a second apart, says EventFail when nobody answers, and tries again.
func StartUdhcpc(ns *Namespace, iface string, opts ClientOptions) *Client {
	ns.t.Helper()
	c := newClient(ns, opts, udhcpcScript)
	args := []string{"-f", "-i", iface, "-s", c.path("script"), "-t", "4", "-T", "1", "-A", "1"}
	if opts.Hostname != "" {
		args = append(args, "-x", "hostname:"+opts.Hostname)
	}
	if opts.VendorClass != "" {
		args = append(args, "-V", opts.VendorClass)
	}
	for _, option := range opts.Send {
		args = append(args, "-x", option)
	}
	for _, option := range opts.Ask {
		args = append(args, "-O", option)
	}
	if opts.Address.IsValid() {
		args = append(args, "-r", opts.Address.String())
	}
	if opts.Probe {
		args = append(args, "-a")
	}
	return c.start(ns, Need(ns.t, "udhcpc", "udhcpc"), args...)
}

// StartDhclient starts ISC's client, which goes on after it is bound.
func StartDhclient(ns *Namespace, iface string, opts ClientOptions) *Client {
	ns.t.Helper()
	c := newClient(ns, opts, dhclientScript)
	c.refuse(opts, "dhclient")
	conf := []string{
		"request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name, dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time, dhcp-server-identifier, root-path, bootfile-name, tftp-server-name;",
		"initial-interval 1;", "backoff-cutoff 2;", "initial-delay 0;", "timeout 30;",
	}
	if opts.Hostname != "" {
		conf = append(conf, fmt.Sprintf("send host-name %q;", opts.Hostname))
	}
	if opts.VendorClass != "" {
		conf = append(conf, fmt.Sprintf("send vendor-class-identifier %q;", opts.VendorClass))
	}
	c.write("conf", strings.Join(conf, "\n")+"\n", 0o644)
	c.write("leases", "", 0o644)
	return c.start(ns, Need(ns.t, "dhclient", "isc-dhcp-client"),
		"-4", "-d", "-1", "-cf", c.path("conf"), "-lf", c.path("leases"), "-pf", c.path("pid"), "-sf", c.path("script"), iface)
}

// StartDhcpcd starts dhcpcd, which goes on after it is bound. Its state is kept from the
// host's: the files it insists on lie in folders that only its namespace has.
func StartDhcpcd(ns *Namespace, iface string, opts ClientOptions) *Client {
	ns.t.Helper()
	c := newClient(ns, opts, dhcpcdScript)
	c.refuse(opts, "dhcpcd")
	conf := []string{
		"duid", "option domain_name_servers, domain_name, host_name, routers, subnet_mask, broadcast_address",
		"option dhcp_lease_time, dhcp_renewal_time, dhcp_rebinding_time, bootfile_name, tftp_server_name, root_path",
		"require dhcp_server_identifier", "noipv6", "noipv4ll", "persistent", "timeout 30",
	}
	if !opts.Probe {
		conf = append(conf, "noarp")
	}
	if opts.Hostname != "" {
		conf = append(conf, "hostname "+opts.Hostname)
	}
	if opts.VendorClass != "" {
		conf = append(conf, "vendorclassid "+opts.VendorClass)
	}
	c.write("conf", strings.Join(conf, "\n")+"\n", 0o644)
	const private = `mount -t tmpfs none /run && mount -t tmpfs none /var/lib/dhcpcd && mkdir /run/dhcpcd && exec "$@"`
	c.start(ns, "sh", "-c", private, "sh", Need(ns.t, "dhcpcd", "dhcpcd-base"),
		"-4", "-B", "-d", "-f", c.path("conf"), "-c", c.path("script"), iface)
	c.mayHang = true // dhcpcd 9.4.1, when it is ended while it separates its privileges
	return c
}

// refuse fails the test for options that only udhcpc can send.
func (c *Client) refuse(opts ClientOptions, name string) {
	c.t.Helper()
	if len(opts.Send)+len(opts.Ask) > 0 || opts.Address.IsValid() {
		c.t.Fatalf("%s cannot be told to send these options: %+v", name, opts)
	}
}

// recordScript is the first half of every client's script: it writes the event and its
// environment into a file of its own, which appears whole.
const recordScript = `#!/bin/sh
dir=%[1]s
EVENT="${1:-$reason}" env -0 > $dir/event.new
mv $dir/event.new $dir/event.$(printf %%06d $(ls $dir | grep -c '^event\.[0-9]'))
`

// The second half configures the interface, as far as the client does not do so itself.
const (
	udhcpcScript = recordScript + `case "$1" in
deconfig) ip -4 addr flush dev $interface ;;
bound|renew)
	ip addr replace $ip/$mask brd + dev $interface
	for r in $router; do ip route replace default via $r dev $interface; break; done ;;
esac
exit 0
`
	dhclientScript = recordScript + `case "$reason" in
PREINIT) ip link set $interface up ;;
BOUND|RENEW|REBIND|REBOOT)
	[ "$old_ip_address" = "$new_ip_address" ] || ip -4 addr flush dev $interface
	ip addr replace $new_ip_address/$new_subnet_mask brd + dev $interface
	for r in $new_routers; do ip route replace default via $r dev $interface; break; done ;;
EXPIRE|FAIL|RELEASE|STOP) ip -4 addr flush dev $interface ;;
esac
exit 0
`
	dhcpcdScript = recordScript + "exit 0\n"
)

// newClient makes the client's folder with its script.
func newClient(ns *Namespace, opts ClientOptions, script string) *Client {
	ns.t.Helper()
	c := &Client{t: ns.t, dir: ns.t.TempDir(), wait: opts.Wait}
	if c.wait == 0 {
		c.wait = BindTimeout
	}
	c.write("script", fmt.Sprintf(script, c.dir), 0o755)
	return c
}

func (c *Client) path(name string) string { return filepath.Join(c.dir, name) }

func (c *Client) write(name, text string, mode os.FileMode) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
}

// start starts the client's program.
func (c *Client) start(ns *Namespace, name string, args ...string) *Client {
	c.t.Helper()
	c.command = func() *exec.Cmd {
		cmd := ns.Command(context.Background(), name, args...)
		cmd.Dir = c.dir
		return cmd
	}
	c.Process = StartProcess(c.t, filepath.Base(name)+" in "+ns.Name, c.command())
	return c
}

// Restart ends the client and starts it again with the files that it had: dhclient then
// asks for the address of its lease file (INIT-REBOOT).
func (c *Client) Restart() {
	c.t.Helper()
	c.Stop()
	c.Process = StartProcess(c.t, c.name, c.command())
}

// bindOnce waits for the lease and stops the client, which keeps its address.
func (c *Client) bindOnce() Bound {
	c.t.Helper()
	bound := c.WaitEvent(EventBound, c.wait)
	c.Stop()
	return bound
}

// Renew has udhcpc renew its lease now, by unicast.
func (c *Client) Renew() { c.Signal(syscall.SIGUSR1) }

// Release has udhcpc give its lease back.
func (c *Client) Release() { c.Signal(syscall.SIGUSR2) }

// WaitEvent waits for the next event of that name, skipping others, and returns what the
// client then said that it has. An event is returned once.
func (c *Client) WaitEvent(event string, timeout time.Duration) Bound {
	c.t.Helper()
	bound, err := c.NextEvent(event, timeout)
	if err != nil {
		c.t.Fatal(err)
	}
	return bound
}

// NextEvent is WaitEvent for goroutines, which may not end a test.
func (c *Client) NextEvent(event string, timeout time.Duration) (Bound, error) {
	env, err := c.nextEnv(event, timeout)
	if err != nil {
		return Bound{}, err
	}
	return parseBound(env)
}

// nextEnv waits for the next event of that name and returns its environment.
func (c *Client) nextEnv(event string, timeout time.Duration) (map[string]string, error) {
	deadline := time.Now().Add(timeout)
	var skipped []string
	for {
		env, err := c.readEvent(c.seen)
		switch {
		case err == nil:
			c.seen++
			if strings.EqualFold(env["EVENT"], event) {
				return env, nil
			}
			skipped = append(skipped, env["EVENT"])
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%s: no event %q within %v, but %q; it said:\n%s", c.name, event, timeout, skipped, c.Log())
		default:
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// readEvent reads the environment that the client's script ran in for the n-th time.
func (c *Client) readEvent(n int) (map[string]string, error) {
	text, err := os.ReadFile(c.path(fmt.Sprintf("event.%06d", n)))
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for word := range strings.SplitSeq(string(text), "\x00") {
		if key, value, ok := strings.Cut(word, "="); ok {
			env[key] = strings.TrimSpace(value)
		}
	}
	return env, nil
}

// parseBound reads the variables of all three clients, which have different names in each.
func parseBound(env map[string]string) (Bound, error) {
	p := envParser{env: env}
	b := Bound{
		Addr:       p.prefix(p.first("ip", "new_ip_address"), p.first("mask", "new_subnet_cidr"), p.first("subnet", "new_subnet_mask")),
		Routers:    p.addrs(p.first("router", "new_routers")),
		DNS:        p.addrs(p.first("dns", "new_domain_name_servers")),
		Hostname:   p.first("hostname", "new_host_name"),
		Domain:     p.first("domain", "new_domain_name"),
		LeaseTime:  p.seconds(p.first("lease", "new_dhcp_lease_time")),
		T1:         p.seconds(p.first("new_dhcp_renewal_time")) + p.rawSeconds("opt58"),
		T2:         p.seconds(p.first("new_dhcp_rebinding_time")) + p.rawSeconds("opt59"),
		ServerID:   p.addr(p.first("serverid", "new_dhcp_server_identifier")),
		NextServer: p.addr(p.first("siaddr", "new_next_server")),
		File:       p.first("boot_file", "new_filename"),
		BootFile:   p.first("bootfile", "new_bootfile_name"),
		TFTPServer: p.first("tftp", "new_tftp_server_name"),
		RootPath:   p.first("rootpath", "new_root_path"),
	}
	return b, p.err
}

// envParser turns variables into values and keeps the first error.
type envParser struct {
	env map[string]string
	err error
}

// first returns the value of the first variable that is set.
func (p *envParser) first(names ...string) string {
	for _, name := range names {
		if v := p.env[name]; v != "" {
			return v
		}
	}
	return ""
}

func (p *envParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *envParser) addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		p.fail(err)
	}
	return a
}

func (p *envParser) addrs(s string) []netip.Addr {
	var list []netip.Addr
	for word := range strings.FieldsSeq(s) {
		list = append(list, p.addr(word))
	}
	return list
}

// prefix takes the mask as a number of bits or, if the client gives none, in dotted form.
func (p *envParser) prefix(ip, bits, mask string) netip.Prefix {
	if ip == "" {
		return netip.Prefix{}
	}
	n, err := strconv.Atoi(bits)
	if err != nil && mask != "" {
		four := p.addr(mask).AsSlice()
		n = 0
		for _, octet := range four {
			for ; octet != 0; octet <<= 1 {
				n++
			}
		}
	}
	return netip.PrefixFrom(p.addr(ip), n)
}

func (p *envParser) seconds(s string) time.Duration {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		p.fail(err)
	}
	return time.Duration(n) * time.Second
}

// rawSeconds takes what udhcpc makes of an option that it has no name for: hex digits.
func (p *envParser) rawSeconds(name string) time.Duration {
	if p.env[name] == "" {
		return 0
	}
	n, err := strconv.ParseUint(p.env[name], 16, 32)
	if err != nil {
		p.fail(err)
	}
	return time.Duration(n) * time.Second
}

// StartDhcrelay starts ISC's relay, which forwards what it hears on the interface below to
// a server, and returns when it is ready. Flags come before the interfaces (such as -a).
func StartDhcrelay(ns *Namespace, below, above string, server netip.Addr, flags ...string) *Process {
	ns.t.Helper()
	args := append([]string{"-4", "-d", "--no-pid"}, flags...)
	args = append(args, "-id", below, "-iu", above, server.String())
	p := StartProcess(ns.t, "dhcrelay", ns.Command(context.Background(), Need(ns.t, "dhcrelay", "isc-dhcp-relay"), args...))
	p.WaitLog(`Sending on +Socket/fallback`, 5*time.Second)
	return p
}

// TFTPGet fetches a file with tftp-hpa's client.
func TFTPGet(ns *Namespace, server netip.Addr, file string) ([]byte, error) {
	ns.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	path := filepath.Join(ns.t.TempDir(), "file")
	cmd := ns.Command(ctx, Need(ns.t, "tftp", "tftp-hpa"), "-m", "binary", server.String(), "-c", "get", file, path)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "rror") {
		return nil, fmt.Errorf("tftp get %s: %w: %s", file, errors.Join(err, errors.New("refused")), out)
	}
	return os.ReadFile(path)
}
