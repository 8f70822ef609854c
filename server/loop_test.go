package server

import (
	"context"
	"net"
	"testing"

	"github.com/coredhcp/coredhcp/config"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// A successor takes the sockets of a loop over; the loop ends with its context.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	c := config.New()
	c.Server4 = &config.ServerConfig{Addresses: []net.UDPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
	c.Server6 = &config.ServerConfig{Addresses: []net.UDPAddr{{IP: net.IPv6loopback}}}
	log := logrus.NewEntry(logrus.New())
	first, err := listen(c, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	files, err := first.files()
	if err != nil {
		t.Fatal(err)
	}
	second, err := listen(c, files, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.close(); err != nil {
		t.Error(err)
	}
	for name, f := range files {
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none := chains{
		v4: []link4{plain4(func(_, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) { return resp, true })},
		v6: []link6{plain6(func(_, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) { return resp, true })},
	}
	if err := second.run(ctx, none); err != nil {
		t.Error(err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}
