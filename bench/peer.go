package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A duty is what a server is started for.
type duty struct {
	relayed   bool
	machines  int
	strangers bool // they get temporary leases
	refresh   time.Duration
	stirred   bool // something changes in SMD all the time, and it is read in busy phases only
	inventory *inventory
	gate      *gate // before the inventory; nil: none
}

// smd is where a server asks for its machines.
func (d duty) smd() string {
	if d.gate != nil {
		return "http://" + gateAddr
	}
	return d.inventory.URL()
}

// pool returns the first address for strangers, behind those of all machines: an
// address that both have would be a fault of the inventory.
func (d duty) pool() netip.Addr {
	if d.machines > machinesUsual {
		return poolMany
	}
	return poolIP
}

// A peer is one of the servers that are compared.
type peer struct {
	name  string
	title string // in the table
	start func(*stage, duty) *exec.Cmd
}

var (
	ours  = peer{name: "coresmd", title: "coresmd", start: coresmd("bin/coredhcp", "warning", "0")}
	lines = peer{name: "coresmd-info", title: "coresmd, a line per exchange", start: coresmd("bin/coredhcp", "info", "0")}
	asks  = peer{name: "coresmd-asks", title: "coresmd, SMD is asked for each", start: coresmd("bin/coredhcp", "warning", "200ms")}
	stock = peer{name: "stock", title: "stock CoreDHCP with coresmd", start: coresmd("bin/coredhcp-stock", "warning", "0")}
	kea   = peer{name: "kea", title: "Kea", start: startKea}
	masq  = peer{name: "dnsmasq", title: "dnsmasq", start: startDnsmasq}
	echo  = peer{name: "echo", title: "UDP echo", start: startEcho}
)

// leaseTime and bootFile are what all clients are told.
const (
	leaseTime = time.Hour
	bootFile  = "ipxe-x86_64.efi"
)

const coresmdConfig = `server4:
  listen: "%%eth0"
  plugins:
    - server_id: %[1]v
    - coresmd: svc_base_uri=%[4]s ipxe_base_uri=http://%[1]v:8081 cache_valid=%[5]v lease_time=1h lookup_wait=%[10]s tftp=off snapshot_file=off subnet=%[7]v,router:%[3]v,dns:%[2]v
    - bootloop: lease_file=%[6]s/leases.db lease_time=1h subnet=%[7]v,router:%[3]v,dns:%[2]v,pool:%[8]v-%[9]v
`

// coresmd returns how a CoreDHCP with the plugins is started. wait is how long
// a machine that is not known waits for SMD's word; the others ask nobody.
func coresmd(binary, level, wait string) func(*stage, duty) *exec.Cmd {
	return func(s *stage, d duty) *exec.Cmd {
		dir := s.TempDir()
		config := filepath.Join(dir, "config.yaml")
		s.write(config, fmt.Sprintf(coresmdConfig, serverIP, dnsIP, routerIP, d.smd(), d.refresh, dir, network, d.pool(), poolEnd, wait))
		path, err := filepath.Abs(binary)
		if err != nil {
			s.Fatal(err)
		}
		return s.pinned(path, "-c", config, "-L", level)
	}
}

const keaConfig = `{"Dhcp4": {
"interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "%[1]s"},
"lease-database": {"type": "memfile", "persist": true, "name": "%[2]s/leases.csv"},
"valid-lifetime": 3600, "calculate-tee-times": true, "match-client-id": false,
"host-reservation-identifiers": ["hw-address"],
"loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": "stdout"}]}],
"option-data": [{"name": "domain-name-servers", "data": "%[3]v"}, {"name": "routers", "data": "%[4]v"}],
"next-server": "%[5]v", "boot-file-name": "%[6]s",
"subnet4": [{"subnet": "%[7]v", "id": 1, "reservations-in-subnet": true, "reservations-out-of-pool": true,
"pools": [%[8]s], "reservations": [
%[9]s
]}]}}
`

func startKea(s *stage, d duty) *exec.Cmd {
	dir := s.TempDir()
	var pool string
	if d.strangers {
		pool = fmt.Sprintf(`{"pool": "%v - %v"}`, d.pool(), poolEnd)
	}
	sockets := map[bool]string{true: "udp", false: "raw"}[d.relayed]
	hosts := machines(d.machines, ",\n", `{"hw-address": "%v", "ip-address": "%v", "hostname": "%s"}`)
	config := filepath.Join(dir, "kea.json")
	s.write(config, fmt.Sprintf(keaConfig, sockets, dir, dnsIP, routerIP, serverIP, bootFile, network, pool, hosts))
	cmd := s.pinned(dhcptest.Need(s, "kea-dhcp4", "kea-dhcp4-server"), "-c", config)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir)
	return cmd
}

const dnsmasqConfig = `port=0
interface=eth0
except-interface=lo
dhcp-range=%v,static,255.254.0.0,1h
dhcp-hostsfile=%s/hosts
dhcp-option=option:dns-server,%v
dhcp-option=option:router,%v
dhcp-boot=%s,,%v
dhcp-lease-max=200000
dhcp-authoritative
leasefile-ro
no-ping
quiet-dhcp
user=root
pid-file=
`

func startDnsmasq(s *stage, d duty) *exec.Cmd {
	dir := s.TempDir()
	s.write(filepath.Join(dir, "hosts"), machines(d.machines, "\n", "%v,%v,%s"))
	config := filepath.Join(dir, "dnsmasq.conf")
	s.write(config, fmt.Sprintf(dnsmasqConfig, network.Addr(), dir, dnsIP, routerIP, bootFile, serverIP))
	return s.pinned(dhcptest.Need(s, "dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--conf-file="+config)
}

func startEcho(s *stage, _ duty) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	return s.pinned(self, "echo")
}

// machines lists machines in the format of a server: MAC, address and name.
func machines(n int, between, format string) string {
	var text strings.Builder
	addr := firstIP
	for i := range n {
		if i > 0 {
			text.WriteString(between)
		}
		fmt.Fprintf(&text, format, machineMAC(i), addr, hostname(i))
		addr = addr.Next()
	}
	return text.String()
}

func machineMAC(n int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// answer sends back what comes to the port of DHCP servers, one packet after
// the other: what a Go program at its simplest costs.
func answer(ctx context.Context) error {
	var l net.ListenConfig
	conn, err := l.ListenPacket(ctx, "udp4", ":67")
	if err != nil {
		return err
	}
	defer conn.Close()
	udp := conn.(*net.UDPConn)
	room := make([]byte, 2048)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(room)
		if err != nil {
			return err
		}
		if _, err := udp.WriteToUDPAddrPort(room[:n], netip.AddrPortFrom(from.Addr(), 67)); err != nil {
			return err
		}
	}
}
