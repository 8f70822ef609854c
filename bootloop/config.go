package bootloop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
)

// A config is one directive, read but not acted upon.
type config struct {
	six           bool // it stands in server6
	leaseFile     string
	leaseTime     time.Duration
	offerTime     time.Duration
	declineTime   time.Duration
	scriptPath    string
	renew         bool // renewals are acknowledged
	authoritative bool
	unsynced      bool         // strangers get offers before SMD was heard
	auditFile     string       // empty: none
	start, end    netip.Addr   // the older single range
	peerPools     []link.Range // of another server with our identifier
	subnetPools   []link.Network
	subnets       []link.Network

	networks []link.Network // all that have pools; one whose network is unknown has no prefix
	table    link.Table     // of the networks with a prefix
	pools    []lease.Range  // of all networks, in their order
	place    []int          // of each pool: the index of its network
}

// options declares what a directive may hold.
func (c *config) options() args.Options {
	return args.Options{
		{
			Name: "lease_file", Value: args.String(&c.leaseFile, "a file"), Required: true,
			Help: "SQLite file that keeps the leases. It is created if need be; one that earlier releases or CoreDHCP's `range` wrote is taken over. In server6 `-v6` is added to its name.",
		},
		{
			Name: "lease_time", Value: args.LeaseTime(&c.leaseTime), Default: "5m",
			Help: "Lease time. Short, so that a machine that SMD learns of soon gets its real lease.",
		},
		{
			Name: "script_path", Value: args.String(&c.scriptPath, "a file name"), Default: "default",
			Help: "Boot script that iPXE clients are sent to, by TFTP, or a URL. `default` and `reboot.ipxe` are the built-in reboot script.",
		},
		{
			Name: "renew", Value: args.OneOf(&c.renew, "ack", "nak"), Default: "nak",
			Help: "What renewals are answered with. `nak` makes a client ask anew, so that it gets its real lease once SMD knows it, and the same temporary address until then. `ack` renews: a BMC that is being crawled keeps its connections.",
		},
		{
			Name: "unsynced", Value: args.OneOf(&c.unsynced, "offer", "wait"), Default: "wait",
			Help: "What machines without a lease get while SMD was not heard since the start, so that strangers cannot be told from its machines. `wait` offers them nothing, `offer` a temporary address.",
		},
		{
			Name: "offer_time", Value: args.LeaseTime(&c.offerTime), Default: "10s",
			Help: "How long an offered address is held for its client, never longer than the lease time.",
		},
		{
			Name: "decline_time", Value: args.LeaseTime(&c.declineTime), Default: "10m",
			Help: "How long an address that a client found in use is not given out. At most a tenth of a pool is held back so.",
		},
		{
			Name: "authoritative", Value: args.Bool(&c.authoritative), Default: "false",
			Help: "Whether requests for addresses that this server knows nothing of are refused too. Say `true` only where no other server gives out addresses.",
		},
		{
			Name: "peer_pool", Value: args.List(&c.peerPools, "START-END", parsePeerPool), Repeat: true,
			Help: "Pool of another server that has the same server identifier. DHCPv4 requests for its addresses are left to that server. See docs/operations.md.",
		},
		{
			Name: "audit", Value: args.String(&c.auditFile, "a file"),
			Help: "File that a line of JSON is appended to for each lease given, renewed, refused or released, see docs/audit.md. Opened anew on SIGHUP.",
		},
		{
			Name: "ipv4_start", Value: args.Of(&c.start, "an IPv4 address", parseAddr4),
			Help: "First address of the single pool; with `ipv4_end`.",
		},
		{
			Name: "ipv4_end", Value: args.Of(&c.end, "an IPv4 address", parseAddr4),
			Help: "Last address of the single pool.",
		},
		{
			Name: "subnet_pool", Value: args.List(&c.subnetPools, "CIDR,START,END", parseSubnetPool), Repeat: true,
			Help: "A pool of a network; an older way to say `subnet=CIDR,pool:START-END`.",
		},
		{
			Name: "subnet", Value: args.List(&c.subnets, link.Grammar, link.ParseNetwork), Repeat: true,
			Help: "A network with its routers, name servers, mask and pools. A client gets an address of the network it asks from.",
		},
	}
}

// forms returns the positional forms.
func forms() []args.Form {
	return []args.Form{
		{"lease_file", "lease_time", "ipv4_start", "ipv4_end"},
		{"lease_file", "script_path", "lease_time", "ipv4_start", "ipv4_end"},
	}
}

func parseAddr4(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, errors.New("not an IPv4 address")
	}
	return a, nil
}

// parseSubnetPool translates the older grammar.
func parseSubnetPool(text string) (link.Network, error) {
	words := strings.Split(text, ",")
	if len(words) != 3 {
		return link.Network{}, fmt.Errorf("%d parts", len(words))
	}
	return link.ParseNetwork(words[0] + ",pool:" + words[1] + "-" + words[2])
}

// file is the lease file. That of DHCPv6 is a file of its own: each family has
// its lock, its log and its faults to itself.
func (c *config) file() string {
	if c.six {
		return c.leaseFile + "-v6"
	}
	return c.leaseFile
}

// parse reads the words of a directive of server4, or of server6. It touches
// nothing outside.
func parse(words []string, six bool) (config, error) {
	c := config{six: six}
	given, err := c.options().Parse(words, forms()...)
	var mistakes []error
	if err != nil {
		mistakes = append(mistakes, err)
	}
	if len(given.Form) == 4 {
		c.scriptPath = "reboot.ipxe"
	}
	if err := c.validate(given, err == nil); err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return config{}, fmt.Errorf("bootloop directive:\n%w", errors.Join(mistakes...))
	}
	return c, nil
}

// validate finds what no single word shows, and lists networks and pools. read
// says that the words were all understood.
func (c *config) validate(given args.Given, read bool) error {
	single, err := c.singlePool(given)
	errs := []error{err}
	c.networks = merge(slices.Concat(single, c.subnetPools, c.subnets))
	for i, n := range c.networks {
		for _, r := range n.Pools {
			errs = append(errs, c.addPool(i, r))
		}
		if n.Prefix.IsValid() {
			errs = append(errs, c.belongs(n))
		}
	}
	asked := given.Set["subnet"] || given.Set["subnet_pool"] || given.Set["ipv4_start"]
	if len(c.pools) == 0 && !given.Unread && (read || !asked) && errors.Join(errs...) == nil {
		errs = append(errs, errors.New("no pool; wanted "+c.wanted()))
	}
	known := slices.DeleteFunc(slices.Clone(c.networks), func(n link.Network) bool { return !n.Prefix.IsValid() })
	c.table, err = link.NewTable(known)
	return errors.Join(append(errs, err, c.checkPeers())...)
}

// wanted says how a pool is declared.
func (c *config) wanted() string {
	if c.six {
		return "subnet=PREFIX,pool:START-END, such as subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff"
	}
	return "ipv4_start and ipv4_end, or subnet=CIDR,pool:START-END"
}

// belongs says what is wrong with a network of the other family.
func (c *config) belongs(n link.Network) error {
	switch six := n.Prefix.Addr().Is6(); {
	case six && !c.six:
		return fmt.Errorf("subnet %v is IPv6; it belongs to the bootloop directive of server6", n.Prefix)
	case !six && c.six:
		return fmt.Errorf("subnet %v is IPv4; it belongs to the bootloop directive of server4. This one wants %s", n.Prefix, c.wanted())
	}
	return nil
}

// singlePool returns the network of the older single range, whose prefix
// nobody told.
func (c *config) singlePool(given args.Given) ([]link.Network, error) {
	start, end := given.Set["ipv4_start"], given.Set["ipv4_end"]
	switch {
	case !start && !end:
		return nil, nil
	case c.six:
		return nil, errors.New("ipv4_start and ipv4_end belong to the bootloop directive of server4. This one wants " + c.wanted())
	case given.Set["subnet_pool"] || given.Set["subnet"]:
		return nil, errors.New("ipv4_start and ipv4_end stand beside subnet or subnet_pool; wanted one of the two ways")
	case !start || !end:
		return nil, errors.New("ipv4_start and ipv4_end belong together; one is missing")
	case !c.start.IsValid() || !c.end.IsValid():
		return nil, nil // said already
	case c.end.Less(c.start):
		return nil, fmt.Errorf("pool %v-%v ends before its start", c.start, c.end)
	}
	return []link.Network{{Pools: []link.Range{{First: c.start, Last: c.end}}}}, nil
}

// addPool lists a pool unless it overlaps another one.
func (c *config) addPool(network int, r link.Range) error {
	for _, other := range c.pools {
		if !r.Last.Less(other.First) && !other.Last.Less(r.First) {
			return fmt.Errorf("pool %v overlaps pool %v", r, other)
		}
	}
	c.pools = append(c.pools, lease.Range(r))
	c.place = append(c.place, network)
	return nil
}

// merge joins the pools of subnet_pool words that name the same network.
func merge(networks []link.Network) []link.Network {
	var merged []link.Network
	for _, n := range networks {
		at := slices.IndexFunc(merged, func(m link.Network) bool {
			return n.Prefix.IsValid() && m.Prefix == n.Prefix && plain(m) && plain(n)
		})
		if at < 0 {
			merged = append(merged, n)
			continue
		}
		merged[at].Pools = slices.Concat(merged[at].Pools, n.Pools)
	}
	return merged
}

// plain says that a network has nothing but pools.
func plain(n link.Network) bool {
	return n.Routers == nil && n.DNS == nil && slices.Equal(n.Mask, net.CIDRMask(n.Prefix.Bits(), 32))
}
