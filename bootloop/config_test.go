package bootloop

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// settings is what a site notices of a directive.
type settings struct {
	File, Script          string
	Lease, Offer, Decline time.Duration
	Renew, Authoritative  bool
	Networks, Pools       []string
}

func settingsOf(c config) settings {
	s := settings{c.file(), c.scriptPath, c.leaseTime, c.offerTime, c.declineTime, c.renew, c.authoritative, nil, nil}
	for _, n := range newNetworks(c) {
		s.Networks = append(s.Networks, n.String())
	}
	for _, p := range c.pools {
		s.Pools = append(s.Pools, p.String())
	}
	return s
}

func TestDirectives(t *testing.T) {
	t.Parallel()
	base := settings{
		File: "/tmp/coredhcp.db", Script: "default", Lease: 5 * time.Minute, Offer: 10 * time.Second, Decline: 10 * time.Minute,
		Networks: []string{"192.0.2.200-192.0.2.250"}, Pools: []string{"192.0.2.200-192.0.2.250"},
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
		"four words": {`/tmp/coredhcp.db 10m 192.0.2.200 192.0.2.250`, with(func(s *settings) { s.Lease, s.Script = 10*time.Minute, "reboot.ipxe" })},
		"five words": {`/tmp/coredhcp.db default 5m 192.0.2.200 192.0.2.250`, base},
		"comments":   {`/* file */ /tmp/coredhcp.db /*script*/ x.ipxe 5m 192.0.2.200 192.0.2.250`, with(func(s *settings) { s.Script = "x.ipxe" })},
		"key=value":  {`lease_file=/tmp/coredhcp.db ipv4_start=192.0.2.200 ipv4_end=192.0.2.250`, base},
		"subnet pools": {
			`lease_file=/tmp/coredhcp.db subnet_pool=192.0.2.0/24,192.0.2.200,192.0.2.209 subnet_pool=198.51.100.0/24,198.51.100.1,198.51.100.9 subnet_pool=192.0.2.0/24,192.0.2.220,192.0.2.229`,
			with(func(s *settings) {
				s.Networks = []string{"192.0.2.0/24", "198.51.100.0/24"}
				s.Pools = []string{"192.0.2.200-192.0.2.209", "192.0.2.220-192.0.2.229", "198.51.100.1-198.51.100.9"}
			}),
		},
		"all": {
			`lease_file=/tmp/coredhcp.db lease_time=90s script_path=/wait.ipxe renew=ack offer_time=5s decline_time=1m authoritative=true subnet=192.0.2.0/24,router:192.0.2.1,pool:192.0.2.10-192.0.2.19`,
			settings{"/tmp/coredhcp.db", "/wait.ipxe", 90 * time.Second, 5 * time.Second, time.Minute, true, true, []string{"192.0.2.0/24"}, []string{"192.0.2.10-192.0.2.19"}},
		},
	} {
		got, err := parse(strings.Fields(c.words), false)
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
		"nothing":         {``, "lease_file is missing; wanted a file\nno pool; wanted ipv4_start and ipv4_end, or subnet=CIDR,pool:START-END"},
		"no pool":         {`lease_file=/x`, "no pool; wanted ipv4_start and ipv4_end, or subnet=CIDR,pool:START-END"},
		"subnet, no pool": {`lease_file=/x subnet=192.0.2.0/24`, "no pool; wanted ipv4_start and ipv4_end, or subnet=CIDR,pool:START-END"},
		"half a range":    {`lease_file=/x ipv4_start=192.0.2.1`, "ipv4_start and ipv4_end belong together; one is missing"},
		"backwards":       {`/x 5m 192.0.2.9 192.0.2.1`, "pool 192.0.2.9-192.0.2.1 ends before its start"},
		"two ways":        {`lease_file=/x ipv4_start=192.0.2.1 ipv4_end=192.0.2.9 subnet=192.0.2.0/24,pool:192.0.2.20-192.0.2.29`, "ipv4_start and ipv4_end stand beside subnet or subnet_pool; wanted one of the two ways"},
		"overlap":         {`lease_file=/x subnet=192.0.2.0/24,pool:192.0.2.1-192.0.2.9,pool:192.0.2.9-192.0.2.20`, "pool 192.0.2.9-192.0.2.20 overlaps pool 192.0.2.1-192.0.2.9"},
		"declared twice":  {`lease_file=/x subnet=192.0.2.0/24,router:192.0.2.1,pool:192.0.2.10-192.0.2.19 subnet=192.0.2.0/24,pool:192.0.2.20-192.0.2.29`, "subnet 192.0.2.0/24 is declared twice"},
		"IPv6":            {`lease_file=/x subnet=2001:db8::/64,pool:2001:db8::1-2001:db8::9`, "subnet 2001:db8::/64 is IPv6; it belongs to the bootloop directive of server6"},
		"several": {`lease_file= lease_time=0s subnet_pool=192.0.2.0/24,192.0.2.1 renew=yes ipv4_start=x colour=red`, `argument 1 "lease_file=": lease_file is empty; wanted a file
argument 2 "lease_time=0s": lease_time: too short; wanted a duration of at least 1s such as 30s, 5m or 1h
argument 3 "subnet_pool=192.0.2.0/24,192.0.2.1": subnet_pool: 2 parts; wanted CIDR,START,END
argument 4 "renew=yes": renew: not understood; wanted ack or nak
argument 5 "ipv4_start=x": ipv4_start: not an IPv4 address; wanted an IPv4 address
argument 6 "colour=red": unknown key "colour"; wanted one of lease_file, lease_time, script_path, renew, unsynced, offer_time, decline_time, authoritative, peer_pool, audit, ipv4_start, ipv4_end, subnet_pool, subnet
ipv4_start and ipv4_end stand beside subnet or subnet_pool; wanted one of the two ways`},
		"three words": {`/x 192.0.2.1 192.0.2.9`, "3 words; wanted key=value words or the 4 words LEASE_FILE LEASE_TIME IPV4_START IPV4_END or the 5 words LEASE_FILE SCRIPT_PATH LEASE_TIME IPV4_START IPV4_END"},
	} {
		_, err := parse(strings.Fields(c.words), false)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if diff := cmp.Diff("bootloop directive:\n"+c.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestManual compares the option table of the manual page with the options.
func TestManual(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := new(config).options().Table(); !strings.Contains(string(page), table) {
		t.Errorf("README.md lacks the option table:\n%s", table)
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
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.205")
	if table := dhcptest.MetricTable(t, b.p.Registry, "bootloop_"); !strings.Contains(string(page), table+"\n") {
		t.Errorf("README.md lacks the table of metrics:\n%s", table)
	}
}
