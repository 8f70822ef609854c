package main

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	packets "github.com/OpenCHAMI/coresmd/server"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// setUpReplay sets all plugins of a configuration up, and reads SMD.
func (e *env) setUpReplay(ctx context.Context, clock func() time.Time) (*packets.Chains, error) {
	c, err := e.ready(process.Rehearsal{Inventory: e.inventory, Clock: clock})
	if err != nil {
		return nil, err
	}
	chains := packets.Chains{Releases: true}
	for _, s := range c.servers {
		steps, err := e.setUp(s.plugins, whole)
		if err != nil {
			return nil, err
		}
		for _, step := range steps {
			if s.name == "server4" {
				chains.V4, chains.Names4 = append(chains.V4, step.aware4), append(chains.Names4, step.plugin)
			} else {
				chains.V6, chains.Names6 = append(chains.V6, step.aware6), append(chains.Names6, step.plugin)
			}
		}
	}
	chains.Machines, _ = process.Find[process.Machines](process.Here(), process.PublishedMachines)
	if view, ok := process.Find[func(string) status.View](process.Here(), status.PublishedViews); ok {
		_, err = view(status.PathStatus)(ctx, nil)
	}
	return &chains, err
}

// noSection is why a configuration answers nothing.
const noSection = "the configuration has no "

func (r *replaying) ask4(req *dhcpv4.DHCPv4, d *compare.Datagram) compare.Answer {
	if r.chains.V4 == nil {
		return compare.Answer{Plugin: "coredhcp", Reason: noSection + "server4"}
	}
	if recall, ok := process.Find[bootloop.Recall4](process.Here(), bootloop.PublishedRecall4); ok {
		if reply := r.reply4(req); reply != nil {
			recall(req, reply)
		}
	}
	return r.chains.Ask4(req, d)
}

func (r *replaying) ask6(req dhcpv6.DHCPv6, d *compare.Datagram) compare.Answer {
	if r.chains.V6 == nil {
		return compare.Answer{Plugin: "coredhcp", Reason: noSection + "server6"}
	}
	inner, err := req.GetInnerMessage()
	if recall, ok := process.Find[bootloop.Recall6](process.Here(), bootloop.PublishedRecall6); ok && err == nil {
		if reply := r.reply6(inner); reply != nil {
			recall(inner, reply)
		}
	}
	return r.chains.Ask6(req, d)
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
