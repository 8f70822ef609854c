package coresmd

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/OpenCHAMI/coresmd/internal/version"
)

// views are what the status listener tells, by path.
type views struct {
	*service
	started time.Time
}

type viewRow struct {
	takes []string
	view  status.View
}

func (v *views) table() map[string]viewRow {
	return map[string]viewRow{
		status.PathStatus:   {nil, v.status},
		status.PathExplain:  {[]string{"machine", "giaddr", "arch", "class", "user_class", "message"}, v.explain},
		status.PathFaults:   {[]string{"limit"}, v.faults},
		status.PathUnknown:  {[]string{"machine", "limit"}, v.unknown},
		status.PathLeases:   {[]string{"kind", "state", "machine", "address", "expiring", "limit"}, v.leases},
		status.PathMachines: {[]string{"machine", "limit"}, v.machines},
		status.PathAnswers:  {[]string{"client", "machine", "limit"}, v.answers},
		status.PathBoots:    {[]string{"machine", "limit"}, v.boots},
	}
}

func (v *views) status(context.Context, status.Params) (any, error) {
	build, j := version.Read(), v.journal.Stats()
	answer := status.Status{
		Version: build.Version, Commit: build.Commit, Built: build.Time, GoVersion: build.GoVersion,
		PID: os.Getpid(), Started: v.started, Now: time.Now(),
		NotReady: v.notReady(), Inventory: v.inventory(),
		Journal: status.Journal{Machines: j.Machines, Limit: j.Limit, Lost: j.Lost},
	}
	answer.Ready = len(answer.NotReady) == 0
	for _, n := range v.declared {
		answer.Networks = append(answer.Networks, networkOfAPI(n))
	}
	for _, r := range v.rules.Rules() {
		answer.Rules = append(answer.Rules, r.String())
	}
	if ask, ok := process.Find[status.LeaseView](v.process, status.PublishedLeases); ok {
		answer.Pools = ask(nil)
	}
	return answer, nil
}

// inventory is how the server stands with SMD.
func (s *service) inventory() status.Inventory {
	now := s.cache.Status()
	i := status.Inventory{
		Source: s.inventorySource(), State: now.State.String(), AgeSeconds: -1,
		Machines: now.Machines, Faults: len(now.Faults), Doubted: now.Doubted,
	}
	if !now.Loaded.IsZero() {
		loaded := now.Loaded.Round(0)
		i.Loaded, i.AgeSeconds = &loaded, time.Since(now.Loaded).Seconds()
	}
	return i
}

func networkOfAPI(n link.Network) status.Network {
	return status.Network{Prefix: n.Prefix.String(), Routers: texts(n.Routers), DNS: texts(n.DNS), Mask: maskOf(n)}
}

func maskOf(n link.Network) string {
	if n.Mask == nil {
		return ""
	}
	return net.IP(n.Mask).String()
}

func texts(addrs []netip.Addr) []string {
	list := make([]string, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

func (v *views) faults(_ context.Context, q status.Params) (any, error) {
	limit, err := q.Limit()
	if err != nil {
		return nil, err
	}
	all := v.cache.Status().Faults
	answer := status.Faults{Inventory: v.inventory(), Faults: make([]status.Fault, 0, min(limit, len(all))), Total: len(all)}
	for _, severity := range []string{severe, doubtful} {
		for _, f := range all {
			if severityOf(f.Kind) == severity && len(answer.Faults) < limit {
				answer.Faults = append(answer.Faults, v.fault(f))
			}
		}
	}
	return answer, nil
}

func (v *views) unknown(_ context.Context, q status.Params) (any, error) {
	limit, err := q.Limit()
	if err != nil {
		return nil, err
	}
	only, given, err := v.onlyMachine(q)
	answer := status.Unknown{Machines: []status.History{}}
	if err != nil {
		return nil, err
	}
	v.journal.Heads(func(m journal.Head) bool {
		if m.Known || given && m.MAC != only || v.cache.Knows(m.MAC) {
			return true
		}
		answer.Total++
		if len(answer.Machines) < limit {
			whole, _ := v.journal.Machine(m.MAC)
			answer.Machines = append(answer.Machines, history(whole))
		}
		return true
	})
	return answer, nil
}

func (v *views) machines(_ context.Context, q status.Params) (any, error) {
	limit, err := q.Limit()
	if err != nil {
		return nil, err
	}
	only, given, err := v.onlyMachine(q)
	answer := status.Machines{Machines: []status.History{}}
	switch {
	case err != nil:
		return nil, err
	case given:
		if m, ok := v.journal.Machine(only); ok {
			answer.Machines, answer.Total = append(answer.Machines, history(m)), 1
		}
		return answer, nil
	}
	v.journal.Machines(func(m journal.Machine) bool {
		answer.Total++
		if len(answer.Machines) < limit {
			h := history(m)
			h.Events = nil
			answer.Machines = append(answer.Machines, h)
		}
		return true
	})
	return answer, nil
}

// onlyMachine returns the machine that a question is about; false: about all.
func (v *views) onlyMachine(q status.Params) (journal.MAC, bool, error) {
	word, given := q["machine"]
	if !given {
		return journal.MAC{}, false, nil
	}
	found := v.resolve(word)
	if len(found) == 0 {
		return journal.MAC{}, true, status.Absent("nothing is known of %q", word)
	}
	return found[0], true, nil
}

// mostOthers bounds the interfaces that a word stands for.
const mostOthers = 64

// resolve returns the MAC addresses that a word of an administrator stands
// for: a MAC, an address, an xname or a host name.
func (s *service) resolve(word string) []smd.MAC {
	macs, ok := s.standsFor(word)
	if ok {
		return macs
	}
	return macsOf(s.cache.Find(func(m *smd.Machine) bool { return named(s.hostName(*m), word) }, mostOthers))
}

// standsFor is resolve without host names, which take long to look for; false:
// a word may be one.
func (s *service) standsFor(word string) ([]smd.MAC, bool) {
	word = strings.TrimSpace(word)
	if mac, err := smd.ParseMAC(word); err == nil {
		return []smd.MAC{mac}, true
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return s.holders(a.Unmap()), true
	}
	macs := macsOf(s.cache.Find(func(m *smd.Machine) bool { return strings.EqualFold(m.ID, word) }, mostOthers))
	return macs, len(macs) > 0 || word == ""
}

func (s *service) holders(a netip.Addr) []smd.MAC {
	if macs := macsOf(s.cache.Find(func(m *smd.Machine) bool { return slices.Contains(m.Addrs, a) }, mostOthers)); len(macs) > 0 {
		return macs
	}
	if mac, ok := s.journal.Owner(a); ok {
		return []smd.MAC{mac}
	}
	return nil
}

// named says that a host name is a word, or begins with it.
func named(hostname, word string) bool {
	if len(word) > len(hostname) || !strings.EqualFold(hostname[:len(word)], word) {
		return false
	}
	return len(word) == len(hostname) || hostname[len(word)] == '.'
}

func macsOf(machines []smd.Machine) []smd.MAC {
	macs := make([]smd.MAC, 0, len(machines))
	for _, m := range machines {
		macs = append(macs, m.MAC)
	}
	return macs
}

// history is what the journal remembers, as the API has it.
func history(m journal.Machine) status.History {
	h := status.History{
		MAC: macText(m.MAC), Known: m.Known, First: m.First, Last: m.Last,
		Address: textOf(m.Addr), Giaddr: textOf(m.Giaddr), CircuitID: m.Circuit, RemoteID: m.Remote,
		Class: m.Class, Hostname: m.Hostname, Step: m.Step.String(), StepSince: m.StepAt,
		Events: make([]status.Event, 0, len(m.Events)),
	}
	if m.HasArch {
		h.Arch = strconv.Itoa(int(m.Arch))
	}
	for _, e := range m.Events {
		h.Events = append(h.Events, eventOf(e))
	}
	return h
}

func eventOf(e journal.Past) status.Event {
	return status.Event{
		First: e.First, Last: e.Last, Times: e.Times, Kind: e.Kind.String(), Plugin: e.Plugin, Message: e.Message, State: e.State,
		Verdict: e.Verdict, Reason: e.Reason, Address: textOf(e.Addr), Bootfile: e.Bootfile, Rule: e.Rule, Octets: e.Octets,
	}
}

func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (s *service) machineOf(m smd.Machine) *status.Machine {
	answer := &status.Machine{
		MAC: m.MAC.String(), ID: m.ID, Type: m.Type, Addresses: texts(m.Addrs), NIC: m.NIC,
		Disabled: m.Disabled, Hostname: s.hostName(m),
	}
	if m.HasNID {
		answer.NID = &m.NID
	}
	if t := m.Traits; t != nil {
		answer.Role, answer.SubRole, answer.Class, answer.Arch, answer.State = t.Role, t.SubRole, t.Class, t.Arch, t.State
	}
	return answer
}
