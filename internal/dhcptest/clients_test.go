package dhcptest

import (
	"net/netip"
	"testing"
	"time"
)

// The same lease, as each client tells its script.
func TestParseBound(t *testing.T) {
	t.Parallel()
	want := Bound{
		Addr:      netip.MustParsePrefix("192.0.2.11/23"),
		Routers:   []netip.Addr{netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("192.0.2.253")},
		DNS:       []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		Hostname:  "nid0001",
		LeaseTime: time.Hour,
		T1:        30 * time.Minute,
		T2:        52*time.Minute + 30*time.Second,
		ServerID:  netip.MustParseAddr("192.0.2.1"),
		BootFile:  "ipxe-x86_64.efi",
	}
	tests := map[string]map[string]string{
		"udhcpc": {
			"ip": "192.0.2.11", "mask": "23", "subnet": "255.255.254.0", "router": "192.0.2.254 192.0.2.253", "dns": "192.0.2.53",
			"hostname": "nid0001", "lease": "3600", "opt58": "00000708", "opt59": "00000c4e", "serverid": "192.0.2.1", "bootfile": "ipxe-x86_64.efi",
		},
		"dhclient": {
			"new_ip_address": "192.0.2.11", "new_subnet_mask": "255.255.254.0", "new_routers": "192.0.2.254 192.0.2.253",
			"new_domain_name_servers": "192.0.2.53", "new_host_name": "nid0001", "new_dhcp_lease_time": "3600", "new_dhcp_renewal_time": "1800",
			"new_dhcp_rebinding_time": "3150", "new_dhcp_server_identifier": "192.0.2.1", "new_bootfile_name": "ipxe-x86_64.efi",
		},
		"dhcpcd": {
			"new_ip_address": "192.0.2.11", "new_subnet_cidr": "23", "new_subnet_mask": "255.255.254.0", "new_routers": "192.0.2.254 192.0.2.253",
			"new_domain_name_servers": "192.0.2.53", "new_host_name": "nid0001", "new_dhcp_lease_time": "3600", "new_dhcp_renewal_time": "1800",
			"new_dhcp_rebinding_time": "3150", "new_dhcp_server_identifier": "192.0.2.1", "new_bootfile_name": "ipxe-x86_64.efi",
		},
	}
	for name, env := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseBound(env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := DiffBound(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a client makes of a broken option is an error, not a zero.
func TestParseBoundBroken(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"address": {"ip": "192.0.2", "mask": "24"},
		"mask":    {"ip": "192.0.2.11", "subnet": "255.255"},
		"router":  {"router": "gateway"},
		"lease":   {"lease": "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseBound(env); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}
