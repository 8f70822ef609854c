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
package bootloop

import (
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
)

// Plugin registers bootloop with CoreDHCP.
var Plugin = plugins.Plugin{Name: "bootloop", Setup4: setup4}

func setup4(words ...string) (handler.Handler4, error) {
	c, err := parse(words)
	if err != nil {
		return nil, err
	}
	h, err := start(c, process.Here(), logger.GetLogger("plugins/bootloop"))
	if err != nil {
		return nil, err
	}
	return h.Handle, nil
}
