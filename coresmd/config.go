package coresmd

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/iana"
)

// A config is one directive, read but not acted upon.
type config struct {
	smd        *url.URL // http, https, or file: a folder
	bootBase   *url.URL // base of the boot script service
	bootScript *url.URL // full URL of the boot scripts; goes before bootBase
	trust      smd.Trust
	cacheValid time.Duration
	doubt      time.Duration
	lookupWait time.Duration // 0: SMD is not asked for single machines
	answerMax  int64         // octets of one answer of SMD
	respect    bool          // SMD's Enabled=false
	snapshot   string        // a file; "off": none; empty: below $STATE_DIRECTORY
	leaseTime  time.Duration
	domain     string
	subnets    []link.Network
	pass       bool        // what nobody here answers goes on even if it says nothing
	given      []rule.Rule // rule
	ruleLog    rule.Level
	listening  listening
	naming     naming // older options
	recordSize int64  // octets; 0: packets are not recorded

	tftp        bool
	tftpDir     string
	tftpAddr    netip.Addr // invalid: all
	tftpPort    uint16
	tftpRate    int64 // bits a second; 0: no budget
	singlePort  bool
	bootHTTP    netip.AddrPort // port 0: no server; no address: all
	serverAddr6 netip.Addr     // of this server in URLs for IPv6; invalid: the receiving interface's
	archFiles   []netboot.Loader

	rules     *rule.Set
	declared  []link.Network // subnets, and those of rules
	networks  link.Table     // of those of declared that are IPv4
	networks6 link.Table     // of the others
	neighbour bool           // a TFTP server of the site's own may hold the port
	boot      netboot.Boot
	script    netboot.Script
	scripts   map[string]netboot.Script // those of rules, by their URLs
	shadowed  bool                      // both boot URLs are given
}

// options declares what a directive may hold.
func (c *config) options() args.Options {
	return slices.Concat(c.inventoryOptions(), trustOptions(&c.trust), c.replyOptions(), c.bootOptions(), c.ruleOptions(), c.statusOptions())
}

// inventoryOptions are those of how SMD is read.
func (c *config) inventoryOptions() args.Options {
	return args.Options{
		{
			Name: "svc_base_uri", Value: args.URL(&c.smd, "http", "https", "file"), Required: true,
			Help: "SMD's base URL. `file:///DIR` reads `EthernetInterfaces.json` and `Components.json` in a folder instead, `file:///FILE` both lists in one file, such as a snapshot.",
		},
		{
			Name: "cache_valid", Value: args.Duration(&c.cacheValid), Default: "30s",
			Help: "Time between two looks at SMD.",
		},
		{
			Name: "lookup_wait", Value: args.Of(&c.lookupWait, "a duration up to 5s such as 200ms, or 0", parseWait), Default: "200ms",
			Help: "SMD is asked at once for a machine that the inventory lacks, and its packet waits so long for the answer. `0` asks nothing: a new machine is known after `cache_valid`.",
		},
		{
			Name: "doubt", Value: args.Duration(&c.doubt), Default: "10m",
			Help: "How long SMD has to say the same before an inventory that shrank by more than half is believed. An empty one never is.",
		},
		{
			Name: "snapshot_file", Value: args.String(&c.snapshot, "a file or off"),
			Help: "File that keeps the last good inventory for a start while SMD is down. Without it `inventory.json` in `$STATE_DIRECTORY`; where that is not set there is none and a warning, which `off` silences.",
		},
		{
			Name: "answer_max", Value: args.Of(&c.answerMax, "a size from 1MiB to 1024MiB", parseSize), Default: "512MiB",
			Help: "Largest answer of SMD that is read. An inventory of 50,000 nodes is 18 MB.",
		},
		{
			Name: "respect_enabled", Value: args.Bool(&c.respect), Default: "false",
			Help: "Whether a machine whose component has `Enabled` false in SMD is answered with silence. It is not passed on either.",
		},
	}
}

// replyOptions are those of what machines are told.
func (c *config) replyOptions() args.Options {
	return args.Options{
		{
			Name: "ipxe_base_uri", Value: args.URL(&c.bootBase, "http", "https"),
			Help: "Base URL of the boot script service; `/boot/v1/bootscript?mac=MAC` is appended.",
		},
		{
			Name: "ipxe_uri", Value: args.URL(&c.bootScript, "http", "https"),
			Help: "Full URL of the boot scripts; `?mac=MAC` is appended. It goes before `ipxe_base_uri`. One of the two is required.",
		},
		{
			Name: "lease_time", Value: args.LeaseTime(&c.leaseTime), Default: "1h",
			Help: "Lease time. Clients renew after half of it.",
		},
		{
			Name: "domain", Value: args.Domain(&c.domain),
			Help: "Domain that is appended to host names.",
		},
		{
			Name: "subnet", Value: args.List(&c.subnets, link.Grammar, link.ParseNetwork), Repeat: true,
			Help: "A network with its routers, name servers and mask. Once one is declared, a machine gets only an address of the network it asks from.",
		},
		{
			Name: "unknown", Value: args.OneOf(&c.pass, "pass", "drop"), Default: "pass",
			Help: "Whether a reply that says nothing to its client is dropped: an OFFER or ACK without an address, or in DHCPv6 one with neither IA, status nor an option asked for. `drop` is for a *coresmd* that is the last plugin in a stock CoreDHCP, which would send it.",
		},
	}
}

// bootOptions are those of the file servers and the loaders.
func (c *config) bootOptions() args.Options {
	return args.Options{
		{
			Name: "single_port", Value: args.Bool(&c.singlePort), Default: "false",
			Help: "TFTP transfers use the listening port only, for firewalls that know no TFTP.",
		},
		{
			Name: "tftp", Value: args.Switch(&c.tftp), Default: "on",
			Help: "Whether this server serves boot files by TFTP.",
		},
		{
			Name: "tftp_dir", Value: args.String(&c.tftpDir, "a folder"), Default: "/tftpboot",
			Help: "Folder of the boot files. Files that it lacks and that are built in are served all the same.",
		},
		{
			Name: "tftp_addr", Value: args.Of(&c.tftpAddr, "an IP address", parseAddr),
			Help: "Address that the TFTP server is bound to, and that machines are told. Without it the server is bound to all, and machines are told the server identifier.",
		},
		{
			Name: "tftp_port", Value: args.Port(&c.tftpPort), Default: "69",
			Help: "UDP port of the TFTP server.",
		},
		{
			Name: "tftp_rate", Value: args.Of(&c.tftpRate, "a rate from 1Mbit to 400Gbit a second, or off", parseRate), Default: "1Gbit",
			Help: "What all TFTP transfers together may send: the speed of the link to the machines. They take turns, so that a rack that boots at once neither overflows the link nor leaves a machine waiting. `off` sends as fast as machines ask.",
		},
		{
			Name: "boot_http", Value: args.Of(&c.bootHTTP, "a port, or ADDRESS:PORT", parseListen),
			Help: "TCP port where the same files are served by HTTP, for UEFI machines that boot so. They are told a URL with the server identifier, or with the address given here, which then is the only one that is listened on. Without it there is no such server.",
		},
		{
			Name: "server_addr6", Value: args.Of(&c.serverAddr6, "an IPv6 address such as 2001:db8::1", parseAddr6),
			Help: "Address of this server in the URLs that machines are told by DHCPv6. Without it that of the receiving interface, or else the only global one of this host.",
		},
		{
			Name: "bootfile_arch", Value: args.List(&c.archFiles, netboot.LoaderGrammar, netboot.ParseLoader), Repeat: true,
			Help: "The loader of an architecture, by its number or name in the table of boot files; for one that loads by HTTP also a URL.",
		},
	}
}

// trustOptions declares whom SMD's client believes and who it says it is.
func trustOptions(trust *smd.Trust) args.Options {
	return args.Options{
		{
			Name: "ca_cert", Value: args.String(&trust.CAFile, "a PEM file"),
			Help: "Certificates that those of SMD and `token_url` are verified against. Without it the system's roots are used. Read again when it changes.",
		},
		{
			Name: "client_cert", Value: args.String(&trust.ClientCert, "a PEM file"),
			Help: "Certificate that is shown to SMD and `token_url`. Read again when it changes.",
		},
		{
			Name: "client_key", Value: args.String(&trust.ClientKey, "a PEM file"),
			Help: "Key of `client_cert`.",
		},
		{
			Name: "token_file", Value: args.String(&trust.TokenFile, "a file"),
			Help: "File with the bearer token for SMD. Read again when it changes; while it holds none SMD is not asked.",
		},
		{
			Name: "token_url", Value: args.URL(&trust.TokenURL, "http", "https"),
			Help: "OAuth2 endpoint that gives tokens for `client_id` and its secret. It takes the place of `token_file`.",
		},
		{
			Name: "client_id", Value: args.String(&trust.ClientID, "a name"),
			Help: "Name of this server at `token_url`.",
		},
		{
			Name: "client_secret_file", Value: args.String(&trust.ClientSecretFile, "a file"),
			Help: "File with the secret of `client_id`. Read again when a token is due.",
		},
		{
			Name: "token_plain_http", Value: args.Bool(&trust.PlainToken), Default: "false",
			Help: "Whether tokens and the secret may go over plain http to a host that is not loopback.",
		},
	}
}

// forms returns the positional forms. The one of five words comes from sites
// with a TFTP server of their own.
func forms() []args.Form {
	five := args.Form{"svc_base_uri", "ipxe_base_uri", "ca_cert", "cache_valid", "lease_time"}
	return []args.Form{five, append(five[:5:5], "single_port")}
}

func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("not a duration")
	case d < 0, d > 5*time.Second:
		return 0, errors.New("not within 5s")
	}
	return d, nil
}

func parseSize(text string) (int64, error) {
	number, ok := strings.CutSuffix(text, "MiB")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 1 || n > 1024 {
		return 0, errors.New("not a size")
	}
	return n << 20, nil
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("not an address")
	}
	return a, nil
}

// parseAddr6 reads an address that hosts elsewhere can reach.
func parseAddr6(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	switch {
	case err != nil || !isV6(a) || a.Zone() != "":
		return netip.Addr{}, errors.New("not an IPv6 address")
	case !a.IsGlobalUnicast():
		return netip.Addr{}, errors.New("not an address that machines can reach through routers")
	}
	return a, nil
}

// parseListen reads a port, or an address with a port.
func parseListen(text string) (netip.AddrPort, error) {
	if port, err := strconv.ParseUint(text, 10, 16); err == nil && port > 0 {
		return netip.AddrPortFrom(netip.Addr{}, uint16(port)), nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil || at.Port() == 0 {
		return netip.AddrPort{}, errors.New("neither a port nor an address with a port")
	}
	return at, nil
}

// parseRate reads bits a second, as tc(8) writes them.
func parseRate(text string) (int64, error) {
	if text == "off" {
		return 0, nil
	}
	for unit, bits := range map[string]float64{"Mbit": 1e6, "Gbit": 1e9} {
		number, ok := strings.CutSuffix(text, unit)
		if n, err := strconv.ParseFloat(number, 64); ok && err == nil {
			if rate := n * bits; rate >= 1e6 && rate <= 400e9 {
				return int64(rate), nil
			}
			return 0, errors.New("out of range")
		}
	}
	return 0, errors.New("not a rate")
}

// parse reads the words of a directive. It touches nothing outside.
func parse(words []string) (config, error) {
	var c config
	given, err := c.options().Parse(words, forms()...)
	var mistakes []error
	if err != nil {
		mistakes = append(mistakes, err)
	}
	c.neighbour = len(given.Form) == 5
	if err := c.validate(given); err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return config{}, fmt.Errorf("coresmd directive:\n%w", errors.Join(mistakes...))
	}
	c.derive()
	return c, nil
}

// validate finds what no single word shows.
func (c *config) validate(given args.Given) error {
	var errs []error
	if !given.Unread && !given.Set["ipxe_base_uri"] && !given.Set["ipxe_uri"] {
		errs = append(errs, errors.New("ipxe_base_uri and ipxe_uri are missing; wanted one of them"))
	}
	if c.smd != nil && c.smd.Scheme != "file" {
		errs = append(errs, c.trust.Validate(c.smd))
	}
	if !c.tftp && c.tftpAddr.IsValid() {
		errs = append(errs, errors.New("tftp_addr is given and tftp is off; wanted one of the two"))
	}
	errs = append(errs, c.chooseLoaders())
	if err := c.compile(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, c.link(), c.parseScripts())...)
}

// chooseLoaders lists the loaders, those of the directive in place of others.
func (c *config) chooseLoaders() error {
	var errs []error
	c.boot = netboot.Boot{Loaders: netboot.DefaultLoaders(), HTTP: c.bootHTTP, TFTP: c.tftpAddr}
	given := make(map[iana.Arch]string)
	for _, l := range c.archFiles {
		if other, twice := given[l.Arch]; twice {
			errs = append(errs, fmt.Errorf("bootfile_arch names two loaders for architecture %d, %s and %s; wanted one", l.Arch, other, l.File))
		}
		given[l.Arch], c.boot.Loaders[l.Arch] = l.File, l.File
	}
	return errors.Join(errs...)
}

// derive fills in what follows from the words.
func (c *config) derive() {
	if c.neighbour {
		c.boot.Loaders[iana.EFI_X86_64] = "ipxe.efi"
		c.boot.Loaders[iana.EFI_BC] = "ipxe.efi"
	}
	switch {
	case c.bootScript != nil:
		c.script = netboot.FullScript(c.bootScript)
		c.shadowed = c.bootBase != nil
	case c.bootBase != nil:
		c.script = netboot.BaseScript(c.bootBase)
	}
}
