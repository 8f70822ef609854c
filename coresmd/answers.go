package coresmd

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// clients are the kinds of clients that answers can be told for, and what they
// show.
var clients = map[string]status.Params{
	"bios": {"arch": "0"}, "uefi": {"arch": "7"}, "ipxe": {"user_class": "iPXE", "arch": "7"}, "system": {"class": "system"},
}

// answers tells what each machine of SMD is told as a client of a kind.
func (v *views) answers(_ context.Context, q status.Params) (any, error) {
	limit, err := q.Limit()
	if err != nil {
		return nil, err
	}
	client, ok := clients[q["client"]]
	if !ok {
		return nil, status.Wrong("client %q; wanted one of %s", q["client"], strings.Join(slices.Sorted(maps.Keys(clients)), ", "))
	}
	h, ok := process.Find[*handler4](v.process, publishedHandler4)
	if !ok {
		return nil, status.Absent("coresmd is not among the plugins of server4")
	}
	only, given, err := v.onlyMachine(q)
	if err != nil {
		return nil, err
	}
	machines := v.cache.Find(func(m *smd.Machine) bool { return !given || m.MAC == only }, maxMachines)
	answer := status.Answers{Client: q["client"], Answers: make([]status.Answer, 0, min(limit, len(machines))), Total: len(machines)}
	for _, m := range machines[:min(limit, len(machines))] {
		one, err := h.answerTo(m, client)
		if err != nil {
			return nil, err
		}
		answer.Answers = append(answer.Answers, one)
	}
	return answer, nil
}

// maxMachines is more than an inventory has.
const maxMachines = 10_000_000

// answerTo is what a machine is told that runs the whole handshake. It asks as
// it was last heard. One that never was asks through the router of its network
// where it gets no address without.
func (h *handler4) answerTo(m smd.Machine, client status.Params) (status.Answer, error) {
	asks := maps.Clone(client)
	asks["machine"], asks["message"] = m.MAC.String(), "REQUEST"
	q, err := readQuery(asks, false)
	if err != nil {
		return status.Answer{}, err
	}
	e := &explained{service: h.service, q: q, mac: m.MAC, answer: &status.Explanation{}}
	if past, heard := h.journal.Machine(m.MAC); heard && past.Giaddr.Is4() {
		e.q.giaddr = past.Giaddr
	}
	h.through(e)
	if relay := h.relayOf(m); e.x.why == otherNetwork && !e.q.giaddr.IsValid() && relay.IsValid() {
		e.q.giaddr = relay
		h.through(e)
	}
	return status.Answer{
		MAC: m.MAC.String(), ID: m.ID, Type: m.Type, Hostname: h.hostName(m), Giaddr: textOf(e.q.giaddr),
		Verdict: status.Verdict{Answer: e.became.String(), Plugin: e.plugin, Reason: e.reason},
		Address: textOf(e.addr), NextServer: told(e.reply, 0, "siaddr"), Bootfile: cmp.Or(told(e.reply, 67, ""), told(e.reply, 0, "file")),
		Reply: e.reply, Prepared: e.answer.Prepared,
	}, nil
}

// told returns what a reply has for an option, or for a field of its header.
func told(reply []status.Option, code int, field string) string {
	for _, o := range reply {
		if o.Code == code && (code != 0 || o.Name == field) {
			return o.Value
		}
	}
	return ""
}

// relayOf is the router of the network of a machine's first address.
func (h *handler4) relayOf(m smd.Machine) netip.Addr {
	for _, a := range m.Addrs {
		network, ok := h.networks.Lookup(a)
		switch {
		case !a.Is4() || !ok:
		case len(network.Routers) > 0:
			return network.Routers[0]
		default:
			return network.Prefix.Addr().Next()
		}
	}
	return netip.Addr{}
}
