package bootloop

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDirectives6(t *testing.T) {
	t.Parallel()
	base := settings{
		File: "/tmp/coredhcp.db-v6", Script: "default", Lease: 5 * time.Minute, Offer: 10 * time.Second, Decline: 10 * time.Minute,
		Networks: []string{"2001:db8::/64"}, Pools: []string{"2001:db8::1000-2001:db8::1fff"},
	}
	all := base
	all.Lease, all.Script, all.Renew, all.Networks, all.Pools = time.Minute, "/wait.ipxe", true, []string{"2001:db8::/64", "2001:db8:1::/64"},
		[]string{"2001:db8::1000-2001:db8::1fff", "2001:db8::3000-2001:db8::3fff", "2001:db8:1::-2001:db8:1:0:ffff:ffff:ffff:ffff"}
	for words, want := range map[string]settings{
		`lease_file=/tmp/coredhcp.db subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff`:     base,
		`lease_file=/tmp/coredhcp.db subnet_pool=2001:db8::/64,2001:db8::1000,2001:db8::1fff`:     base,
		`lease_file=/tmp/coredhcp.db subnet=2001:DB8:0::/64,pool:2001:db8::1000-2001:db8:0::1fff`: base,
		`lease_file=/tmp/coredhcp.db lease_time=1m script_path=/wait.ipxe renew=ack
			subnet=2001:db8::/64,dns:2001:db8::53,router:2001:db8::1,pool:2001:db8::1000-2001:db8::1fff,pool:2001:db8::3000-2001:db8::3fff
			subnet=2001:db8:1::/64,pool:2001:db8:1::-2001:db8:1:0:ffff:ffff:ffff:ffff`: all,
	} {
		c, err := parse(strings.Fields(words), true)
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		if diff := cmp.Diff(want, settingsOf(c)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", words, diff)
		}
	}
}

func TestDirectiveMistakes6(t *testing.T) {
	t.Parallel()
	const wanted = "subnet=PREFIX,pool:START-END, such as subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff"
	for name, c := range map[string]struct{ words, want string }{
		"nothing":         {``, "lease_file is missing; wanted a file\nno pool; wanted " + wanted},
		"no pool":         {`lease_file=/x`, "no pool; wanted " + wanted},
		"subnet, no pool": {`lease_file=/x subnet=2001:db8::/64`, "no pool; wanted " + wanted},
		"positional":      {`/x default 5m 192.0.2.200 192.0.2.250`, "ipv4_start and ipv4_end belong to the bootloop directive of server4. This one wants " + wanted},
		"single pool":     {`lease_file=/x ipv4_start=192.0.2.1 ipv4_end=192.0.2.9`, "ipv4_start and ipv4_end belong to the bootloop directive of server4. This one wants " + wanted},
		"IPv4":            {`lease_file=/x subnet=192.0.2.0/24,pool:192.0.2.1-192.0.2.9`, "subnet 192.0.2.0/24 is IPv4; it belongs to the bootloop directive of server4. This one wants " + wanted},
		"both": {
			`lease_file=/x subnet=2001:db8::/64,pool:2001:db8::1-2001:db8::9 subnet=192.0.2.0/24`,
			"subnet 192.0.2.0/24 is IPv4; it belongs to the bootloop directive of server4. This one wants " + wanted,
		},
		"overlap": {
			`lease_file=/x subnet=2001:db8::/64,pool:2001:db8::1-2001:db8::9,pool:2001:db8::9-2001:db8::a`,
			"pool 2001:db8::9-2001:db8::a overlaps pool 2001:db8::1-2001:db8::9",
		},
		"outside": {
			`lease_file=/x subnet=2001:db8::/64,pool:2001:db8:1::1-2001:db8:1::9`,
			`argument 2 "subnet=2001:db8::/64,pool:2001:db8:1::1-2001:db8:1::9": subnet: pool 2001:db8:1::1-2001:db8:1::9 is outside 2001:db8::/64; wanted CIDR[,router:IP|IP][,dns:IP|IP][,mask:MASK][,pool:START-END]`,
		},
		"mask": {
			`lease_file=/x subnet=2001:db8::/64,mask:255.255.255.0,pool:2001:db8::1-2001:db8::9`,
			`argument 2 "subnet=2001:db8::/64,mask:255.255.255.0,pool:2001:db8::1-2001:db8::9": subnet: mask "255.255.255.0" is not an IPv4 mask; wanted CIDR[,router:IP|IP][,dns:IP|IP][,mask:MASK][,pool:START-END]`,
		},
	} {
		_, err := parse(strings.Fields(c.words), true)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if diff := cmp.Diff("bootloop directive:\n"+c.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
