package coresmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/google/go-cmp/cmp"
)

// settings is what a site notices of a directive.
type settings struct {
	SMD, Script, CACert, Domain, TFTPDir string
	CacheValid, LeaseTime                time.Duration
	TFTP, SinglePort, Neighbour, Both    bool
	TFTPPort                             uint16
	Networks                             int
	EFI                                  string // loader of x86-64
}

func settingsOf(c config) settings {
	return settings{
		c.smd.String(), c.script.For([6]byte{2, 0, 0, 0, 0, 1}), c.trust.CAFile, c.domain, c.tftpDir, c.cacheValid, c.leaseTime,
		c.tftp, c.singlePort, c.neighbour, c.shadowed, c.tftpPort, len(c.subnets), c.boot.Loaders[7],
	}
}

func TestDirectives(t *testing.T) {
	t.Parallel()
	const script = "/boot/v1/bootscript?mac=02:00:00:00:00:01"
	base := settings{
		SMD: "https://smd.example.org", Script: "http://bss:27778" + script, TFTPDir: "/tftpboot",
		CacheValid: 30 * time.Second, LeaseTime: time.Hour, TFTP: true, TFTPPort: 69, EFI: "ipxe-x86_64.efi",
	}
	with := func(change func(*settings)) settings {
		s := base
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		words string
		want  settings
	}{
		"five words": {`https://smd.example.org http://bss:27778 /root_ca/root_ca.crt 1m 24h`, with(func(s *settings) {
			s.CACert, s.CacheValid, s.LeaseTime, s.Neighbour, s.EFI = "/root_ca/root_ca.crt", time.Minute, 24*time.Hour, true, "ipxe.efi"
		})},
		"five words, no CA": {`https://smd.example.org http://bss:27778 "" 30s 1h`, with(func(s *settings) { s.Neighbour, s.EFI = true, "ipxe.efi" })},
		"six words":         {`https://smd.example.org http://bss:27778 "" 30s 1h true`, with(func(s *settings) { s.SinglePort = true })},
		"comments":          {`/* SMD */ https://smd.example.org /*BSS*/ http://bss:27778 '' 30s 1h /* single port */ false`, base},
		"least":             {`svc_base_uri=https://smd.example.org ipxe_base_uri=http://bss:27778/`, base},
		"all": {
			`svc_base_uri=https://smd.example.org ipxe_uri=http://bss/s?x=y ca_cert= cache_valid=5s lease_time=90s single_port=true tftp=on tftp_dir=/srv/tftp tftp_port=6969 domain=example.org subnet=192.0.2.0/24,router:192.0.2.254 subnet=198.51.100.0/24`,
			with(func(s *settings) {
				s.Script, s.CacheValid, s.LeaseTime, s.SinglePort = "http://bss/s?x=y&mac=02:00:00:00:00:01", 5*time.Second, 90*time.Second, true
				s.TFTPDir, s.TFTPPort, s.Domain, s.Networks = "/srv/tftp", 6969, "example.org", 2
			}),
		},
		"both boot URLs": {
			`svc_base_uri=https://smd.example.org ipxe_uri=http://bss/s ipxe_base_uri=http://bss:27778 tftp=off`,
			with(func(s *settings) { s.Script, s.Both, s.TFTP = "http://bss/s?mac=02:00:00:00:00:01", true, false }),
		},
	} {
		got, err := parse(strings.Fields(c.words))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, settingsOf(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDirectiveMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ words, want string }{
		"nothing": {``, `svc_base_uri is missing; wanted a URL that begins with http:// or https:// or file://
ipxe_base_uri and ipxe_uri are missing; wanted one of them`},
		"everything": {
			`svc_base_uri=ftp://smd ipxe_base_uri=bss cache_valid=0s lease_time=-1h tftp_port=x tftp=maybe rules=x subnet=192.0.2.1/24 subnet=192.0.2.0/24,gateway:x`,
			`argument 1 "svc_base_uri=ftp://smd": svc_base_uri: scheme "ftp"; wanted a URL that begins with http:// or https:// or file://
argument 2 "ipxe_base_uri=bss": ipxe_base_uri: no scheme; wanted a URL that begins with http:// or https://
argument 3 "cache_valid=0s": cache_valid: too short; wanted a duration of at least 1s such as 30s, 5m or 1h
argument 4 "lease_time=-1h": lease_time: too short; wanted a duration of at least 1s such as 30s, 5m or 1h
argument 5 "tftp_port=x": tftp_port: not a port; wanted a port from 1 to 65535
argument 6 "tftp=maybe": tftp: not understood; wanted on or off
argument 7 "rules=x": unknown key "rules"; did you mean rule?
argument 8 "subnet=192.0.2.1/24": subnet: 192.0.2.1/24 has host bits set; the network is 192.0.2.0/24; wanted CIDR[,router:IP|IP][,dns:IP|IP][,mask:MASK][,pool:START-END]
argument 9 "subnet=192.0.2.0/24,gateway:x": subnet: unknown key "gateway"; wanted one of router, dns, mask, pool`,
		},
		"rules": {
			`svc_base_uri=http://smd ipxe_base_uri=http://bss rule=type:Node,hostnmae:nid{04d} rule=subnet:10.0.0.1/8,mtu:9 rule_log=warn hostname_by_type=Node hostname_default=a_b node_pattern={nid} bmc_pattern=`,
			`argument 3 "rule=type:Node,hostnmae:nid{04d}": rule: unknown key "hostnmae"; did you mean hostname?
argument 4 "rule=subnet:10.0.0.1/8,mtu:9": rule: subnet "10.0.0.1/8": host bits are set, the network is 10.0.0.0/8; wanted networks in CIDR notation separated by |
argument 4 "rule=subnet:10.0.0.1/8,mtu:9": rule: mtu "9": out of range; wanted a number from 68 to 65535
argument 5 "rule_log=warn": rule_log: not understood; wanted info, debug or none
argument 6 "hostname_by_type=Node": hostname_by_type: no type and pattern; wanted TYPE:PATTERN such as HSNSwitch:sw-{id}
argument 7 "hostname_default=a_b": hostname_default: hostname "a_b": '_' is not for host names; wanted a host name in which {04d} {d} {id} {parent} {type} {role} {mac} {nic} may stand
argument 8 "node_pattern={nid}": node_pattern: hostname "{nid}": unknown placeholder {nid}; wanted a host name in which {04d} {d} {id} {parent} {type} {role} {mac} {nic} may stand`,
		},
		"name too long with its domains": {`svc_base_uri=http://smd ipxe_base_uri=http://bss domain=example.org rule=hostname:` + strings.Repeat("a", 63) + `,domain:` + strings.Repeat("b.", 90) + `c,domain_append:global|rule`, `rule 1: hostname "` + strings.Repeat("a", 63) + `" with its domains: longer than 253 characters; wanted a shorter name`},
		"same network twice":             {`svc_base_uri=http://smd ipxe_base_uri=http://bss subnet=192.0.2.0/24 subnet=192.0.2.0/24`, `subnet 192.0.2.0/24 is declared twice`},
		"four words":                     {`http://smd http://bss x 30s`, `4 words; wanted key=value words or the 5 words SVC_BASE_URI IPXE_BASE_URI CA_CERT CACHE_VALID LEASE_TIME or the 6 words SVC_BASE_URI IPXE_BASE_URI CA_CERT CACHE_VALID LEASE_TIME SINGLE_PORT`},
		"empty boot URL":                 {`http://smd "" "" 30s 1h`, `ipxe_base_uri and ipxe_uri are missing; wanted one of them`},
		"not a URL":                      {`not-a-url http://bss "" 30s 1h`, `argument 1 "not-a-url": svc_base_uri: no scheme; wanted a URL that begins with http:// or https:// or file://`},
	} {
		_, err := parse(strings.Fields(c.words))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if diff := cmp.Diff("coresmd directive:\n"+c.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The words of the boot servers.
func TestBootDirectives(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"":                          "tftp :69 1000000000, http ",
		"tftp_rate=off":             "tftp :69 0, http ",
		"tftp_rate=2.5Gbit":         "tftp :69 2500000000, http ",
		"tftp_rate=1Mbit":           "tftp :69 1000000, http ",
		"tftp_addr=192.0.2.5":       "tftp 192.0.2.5:69 1000000000, http ",
		"tftp_addr=2001:db8::5":     "tftp [2001:db8::5]:69 1000000000, http ",
		"boot_http=8082":            "tftp :69 1000000000, http :8082",
		"boot_http=192.0.2.5:80":    "tftp :69 1000000000, http 192.0.2.5:80",
		"boot_http=[2001:db8::5]:1": "tftp :69 1000000000, http [2001:db8::5]:1",
		"tftp_rate=1GBit":           `argument 3 "tftp_rate=1GBit": tftp_rate: not a rate; wanted a rate from 1Mbit to 400Gbit a second, or off`,
		"tftp_rate=0Mbit":           `argument 3 "tftp_rate=0Mbit": tftp_rate: out of range; wanted a rate from 1Mbit to 400Gbit a second, or off`,
		"tftp_rate=NaNMbit":         `argument 3 "tftp_rate=NaNMbit": tftp_rate: out of range; wanted a rate from 1Mbit to 400Gbit a second, or off`,
		"tftp_addr=eth0":            `argument 3 "tftp_addr=eth0": tftp_addr: not an address; wanted an IP address`,
		"tftp_addr=::1 tftp=off":    `tftp_addr is given and tftp is off; wanted one of the two`,
		"server_addr6=192.0.2.1":    `argument 3 "server_addr6=192.0.2.1": server_addr6: not an IPv6 address; wanted an IPv6 address such as 2001:db8::1`,
		"server_addr6=fe80::1":      `argument 3 "server_addr6=fe80::1": server_addr6: not an address that machines can reach through routers; wanted an IPv6 address such as 2001:db8::1`,
		"boot_http=0":               `argument 3 "boot_http=0": boot_http: neither a port nor an address with a port; wanted a port, or ADDRESS:PORT`,
		"boot_http=192.0.2.5":       `argument 3 "boot_http=192.0.2.5": boot_http: neither a port nor an address with a port; wanted a port, or ADDRESS:PORT`,
		"bootfile_arch=efi_arm64:a": `argument 3 "bootfile_arch=efi_arm64:a": bootfile_arch: no architecture "efi_arm64"; did you mean efi-arm64?; wanted ARCH:FILE such as 9:ipxe-x86_64.efi or efi-riscv64:ipxe-riscv64.efi`,
		"bootfile_arch=7:a bootfile_arch=efi-x86-64:b": `bootfile_arch names two loaders for architecture 7, a and b; wanted one`,
	} {
		c, err := parse(append([]string{"svc_base_uri=http://smd", "ipxe_base_uri=http://bss"}, strings.Fields(words)...))
		var got string
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "coresmd directive:\n")
		} else {
			got = fmt.Sprintf("tftp %s %d, http ", listenOn(c.tftpAddr, c.tftpPort), c.tftpRate)
			if port := c.bootHTTP.Port(); port != 0 {
				got += listenOn(c.bootHTTP.Addr(), port)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", words, diff)
		}
	}
}

// TestManual compares the tables of the manual pages with what is declared.
func TestManual(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]string{"options": new(config).options().Table(), "keys of rules": rule.Table()} {
		if !strings.Contains(string(page), table) {
			t.Errorf("README.md lacks the table of %s:\n%s", name, table)
		}
	}
	page, err = os.ReadFile("../docs/boot.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := netboot.Table(); !strings.Contains(string(page), table) {
		t.Errorf("docs/boot.md lacks the table of architectures:\n%s", table)
	}
}

// TestMetricTable compares the metrics of the manual page with those that
// there are.
func TestMetricTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	b := known(t, "audit="+filepath.Join(t.TempDir(), "audit.log"))
	b.plugin.metrics.certificates.seen("smd", time.Now())
	if table := dhcptest.MetricTable(t, b.p.Registry, "coresmd_"); !strings.Contains(string(page), table+"\n") {
		t.Errorf("README.md lacks the table of metrics:\n%s", table)
	}
}
