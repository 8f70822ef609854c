// Package coresmd is a CoreDHCP plugin that gives the machines that SMD knows
// their leases, and takes them through boot. It stands behind server_id:
//
//	server4:
//	  plugins:
//	    - server_id: 192.0.2.1
//	    - coresmd: svc_base_uri=https://smd.example.org ipxe_base_uri=http://bss.example.org:27778
//
// server6 takes the same line. Machines that SMD does not know are passed to the
// next plugin.
package coresmd

import (
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
)

// Plugin registers coresmd with CoreDHCP.
var Plugin = plugins.Plugin{Name: "coresmd", Setup4: setup4, Setup6: setup6}

func setup4(words ...string) (handler.Handler4, error) {
	s, err := setup(words)
	if err != nil {
		return nil, err
	}
	return process.Aware(s.process, newHandler4(s).Handle), nil
}

func setup6(words ...string) (handler.Handler6, error) {
	s, err := setup(words)
	if err != nil {
		return nil, err
	}
	return process.Aware(s.process, newHandler6(s).Handle), nil
}

func setup(words []string) (*service, error) {
	c, err := parse(words)
	if err != nil {
		return nil, err
	}
	return start(c, process.Here(), logger.GetLogger("plugins/coresmd"))
}

func newHandler4(s *service) *handler4 {
	h := &handler4{service: s, fixed: newFixed4(s.config)}
	process.Publish(s.process, publishedHandler4, h)
	return h
}

func newHandler6(s *service) *handler6 {
	h := &handler6{service: s, fixed: newFixed6(s.config)}
	process.Publish(s.process, publishedHandler6, h)
	if s.serverAddr6.IsValid() {
		process.Publish(s.process, publishedAddr6, s.serverAddr6)
	}
	return h
}
