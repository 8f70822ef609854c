// Package bootloop is a CoreDHCP plugin that gives machines nobody knows a
// temporary address on a short lease, so that a BMC can be discovered, and
// sends what boots round a loop until its inventory entry is there. It stands
// last:
//
//	server4:
//	  plugins:
//	    - server_id: 192.0.2.1
//	    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://bss.example.org:27778
//	    - bootloop: lease_file=/var/lib/coredhcp/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.250
//	server6:
//	  plugins:
//	    - server_id: LL 02:00:00:00:01:00
//	    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://bss.example.org:27778
//	    - bootloop: lease_file=/var/lib/coredhcp/leases.db subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff
package bootloop

import (
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
)

// Plugin registers bootloop with CoreDHCP.
var Plugin = plugins.Plugin{Name: "bootloop", Setup4: setup4, Setup6: setup6}

func setup4(words ...string) (handler.Handler4, error) {
	s, err := setup(words, false)
	if err != nil {
		return nil, err
	}
	return process.Aware(s.process, newHandler4(s).Handle), nil
}

func setup6(words ...string) (handler.Handler6, error) {
	s, err := setup(words, true)
	if err != nil {
		return nil, err
	}
	return process.Aware(s.process, newHandler6(s).Handle), nil
}

func setup(words []string, six bool) (*service, error) {
	c, err := parse(words, six)
	if err != nil {
		return nil, err
	}
	return start(c, process.Here(), logger.GetLogger("plugins/bootloop"))
}
