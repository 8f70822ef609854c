package main

import (
	"context"
	"encoding/hex"
	"net"
	"time"

	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	loop "github.com/OpenCHAMI/coresmd/server"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// replayChains are the plugins that are asked, all of them.
type replayChains struct {
	v4       []process.Handler[*dhcpv4.DHCPv4]
	v6       []process.Handler[dhcpv6.DHCPv6]
	machines process.Machines
}

// setUpReplay sets the plugins up, and reads SMD.
func (e *env) setUpReplay(ctx context.Context, clock func() time.Time) (*replayChains, error) {
	c, err := e.ready(process.Rehearsal{Inventory: e.inventory, Clock: clock})
	if err != nil {
		return nil, err
	}
	var chains replayChains
	for _, s := range c.servers {
		steps, err := e.setUp(s.plugins, whole)
		if err != nil {
			return nil, err
		}
		for _, step := range steps {
			if s.name == "server4" {
				chains.v4 = append(chains.v4, step.aware4)
			} else {
				chains.v6 = append(chains.v6, step.aware6)
			}
		}
	}
	chains.machines, _ = process.Find[process.Machines](process.Here(), process.PublishedMachines)
	if view, ok := process.Find[func(string) status.View](process.Here(), status.PublishedViews); ok {
		_, err = view(status.PathStatus)(ctx, nil)
	}
	return &chains, err
}

// id is the component of a machine; empty: SMD does not know it.
func (c *replayChains) id(mac [6]byte) string {
	if c.machines.ID == nil {
		return ""
	}
	return c.machines.ID(mac)
}

// from is where a request came from, as the packet loop would tell.
func (r *replaying) from(d *compare.Datagram, a *compare.Answer) process.Origin {
	return process.Origin{
		Interface: d.Interface, Networks: d.Networks, Peer: d.From, Dst: d.To.Addr(),
		Decided: func(plugin, _, reason string) { a.Plugin, a.Reason = plugin, reason },
	}
}

// noSection is why a configuration answers nothing.
const noSection = "the configuration has no "

func (r *replaying) ask4(req *dhcpv4.DHCPv4, d *compare.Datagram) (a compare.Answer) {
	if mac, reason := exchange.Mac(req); reason == "" {
		a.ID = r.chains.id(mac)
	}
	if r.chains.v4 == nil {
		a.Plugin, a.Reason = "coredhcp", noSection+"server4"
		return a
	}
	if recall, ok := process.Find[bootloop.Recall4](process.Here(), bootloop.PublishedRecall4); ok && !r.incumbent {
		if reply := r.reply4(req); reply != nil {
			recall(req, reply)
		}
	}
	reply, why := loop.Answer4(r.chains.v4, req, r.from(d, &a))
	a.V4 = reply
	silent(&a, why)
	return a
}

func (r *replaying) ask6(req dhcpv6.DHCPv6, d *compare.Datagram) (a compare.Answer) {
	inner, err := req.GetInnerMessage()
	if err != nil {
		return a
	}
	read, _ := exchange.Read6(req)
	if mac, reason := read.Mac(d.From.Addr()); reason == "" {
		a.MAC, a.ID = net.HardwareAddr(mac[:]).String(), r.chains.id(mac)
	}
	if r.chains.v6 == nil {
		a.Plugin, a.Reason = "coredhcp", noSection+"server6"
		return a
	}
	if recall, ok := process.Find[bootloop.Recall6](process.Here(), bootloop.PublishedRecall6); ok && !r.incumbent {
		if reply := r.reply6(inner); reply != nil {
			recall(inner, reply)
		}
	}
	reply, why := loop.Answer6(r.chains.v6, req, r.from(d, &a))
	a.V6 = reply
	silent(&a, why)
	return a
}

// silent notes why the packet loop would send nothing, unless a plugin said why.
func silent(a *compare.Answer, why string) {
	if why != "" && a.Reason == "" {
		a.Plugin, a.Reason = "coredhcp", why
	}
}

// reply4 finds the reply to a request that the file has soon after it; nil: none.
func (r *replaying) reply4(req *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	for i := range r.ahead {
		q := r.ahead[i].Payload
		if r.ahead[i].V6() || len(q) < 8 || dhcpv4.OpcodeType(q[0]) != dhcpv4.OpcodeBootReply || [4]byte(q[4:8]) != req.TransactionID {
			continue
		}
		if m, err := dhcpv4.FromBytes(q); err == nil && m.ClientHWAddr.String() == req.ClientHWAddr.String() {
			return m
		}
	}
	return nil
}

// reply6 is the reply4 of DHCPv6.
func (r *replaying) reply6(req *dhcpv6.Message) *dhcpv6.Message {
	for i := range r.ahead {
		if !r.ahead[i].V6() || !sent6(r.ahead[i].Payload) {
			continue
		}
		if m := inner6(r.ahead[i].Payload); m != nil && m.TransactionID == req.TransactionID {
			return m
		}
	}
	return nil
}

// sent6 says that octets begin as a message of a server does.
func sent6(q []byte) bool {
	if len(q) == 0 {
		return false
	}
	switch dhcpv6.MessageType(q[0]) {
	case dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply, dhcpv6.MessageTypeRelayReply:
		return true
	}
	return false
}

// inner6 returns the message of a client or server in octets; nil: there is none.
func inner6(q []byte) (inner *dhcpv6.Message) {
	defer exchange.Recover(func(any, []byte) { inner = nil })
	m, err := dhcpv6.FromBytes(q)
	if err != nil {
		return nil
	}
	if inner, err = m.GetInnerMessage(); err != nil {
		return nil
	}
	return inner
}

// keyOf is the key of a request in a file.
func keyOf(at time.Time, q []byte, v6 bool) decidedKey {
	key := decidedKey{at: at.UnixNano()}
	if !v6 && len(q) >= 8 {
		key.xid = hex.EncodeToString(q[4:8])
	}
	if !v6 {
		return key
	}
	if m := inner6(q); m != nil {
		key.xid = hex.EncodeToString(m.TransactionID[:])
	}
	return key
}
