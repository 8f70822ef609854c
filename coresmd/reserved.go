package coresmd

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/smd"
)

// reserved tells which addresses no machine should have: those of pools of
// this process, and this host's own unless the machine is this host.
func (s *service) reserved() (smd.Reserved, int) {
	pool, count := s.process.Reserved()
	here := sync.OnceValue(thisHost)
	return func(m smd.Machine, a netip.Addr) string {
		if name := pool(a); name != "" {
			return name
		}
		if host := here(); slices.Contains(host.addrs, a) && !slices.Contains(host.macs, m.MAC) {
			return "this server"
		}
		return ""
	}, count
}

// A host is the addresses of this host's interfaces.
type host struct {
	addrs []netip.Addr
	macs  []smd.MAC
}

func thisHost() host {
	var h host
	interfaces, err := net.Interfaces()
	if err != nil {
		return h
	}
	for _, i := range interfaces {
		if len(i.HardwareAddr) == len(smd.MAC{}) {
			h.macs = append(h.macs, smd.MAC(i.HardwareAddr))
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				h.addrs = append(h.addrs, prefix.Addr())
			}
		}
	}
	return h
}
