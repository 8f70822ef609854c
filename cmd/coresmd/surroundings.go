package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// mostFaults is how many faults of one kind check lists; lint lists all.
const mostFaults = 5

// listening warns of places where a server does not hear who it is for.
func (k *checker) listening(s server) {
	d := directive{server: s.name}
	for _, w := range s.listen {
		addr, name, _ := strings.Cut(w.text, "%")
		name, _, _ = strings.Cut(name, ":")
		name = strings.TrimSuffix(name, "]")
		if _, err := net.InterfaceByName(name); name != "" && err != nil {
			k.warn(d, w.place, "listen %q: there is no interface %s on this host", w.text, name)
		}
		if host, _, err := net.SplitHostPort(addr); err == nil {
			addr = host
		}
		if ip, err := netip.ParseAddr(addr); err == nil && ip.Is4() && !ip.IsUnspecified() {
			k.warn(d, w.place, "listen %q: machines that have no address yet send broadcasts, which are not heard on an address; wanted %%INTERFACE", w.text)
		}
	}
}

// order warns of plugins that stand where they do not work.
func (k *checker) order(s server) {
	index := func(name string) int {
		return slices.IndexFunc(s.plugins, func(d directive) bool { return d.plugin == name })
	}
	known, strangers, id := index(coresmd.Plugin.Name), index(bootloop.Plugin.Name), index("server_id")
	for i, d := range s.plugins {
		switch {
		case !d.ours():
		case id < 0:
			k.warn(d, d.place, "there is no server_id in %s; wanted it before %s", s.name, d.plugin)
		case id > i:
			k.warn(d, d.place, "server_id stands behind it; wanted it before")
		}
	}
	if known >= 0 && strangers >= 0 && strangers < known {
		k.warn(s.plugins[strangers], s.plugins[strangers].place, "it stands before coresmd, and gives machines of SMD temporary addresses; wanted it behind, last")
	}
	if known >= 0 {
		k.behind(s.plugins[known], s.plugins[known+1:])
	}
}

// behind warns of plugins behind coresmd that machines of SMD do not reach, and
// of strangers that nobody answers.
func (k *checker) behind(known directive, rest []directive) {
	tell := []string{"autoconfigure", "dns", "ipv6only", "leasetime", "mtu", "nbp", "netmask", "router", "searchdomains", "server_id", "sleep", "staticroute"}
	answered := slices.Contains(known.texts(), "unknown=drop") || known.server != "server4"
	for _, d := range rest {
		if !slices.Contains(tell, d.plugin) {
			answered = true
		} else if d.plugin != "server_id" {
			k.warn(d, d.place, "it stands behind coresmd: machines of SMD are not told; wanted it before")
		}
	}
	if !answered {
		k.warn(known, known.place, "no plugin behind it answers strangers: CoreDHCP offers them the address 0.0.0.0; wanted bootloop, last")
	}
}

// surroundings warns of addresses that two have.
func (k *checker) surroundings() {
	reserved, _ := process.Here().Reserved()
	for _, s := range k.servers {
		for _, d := range s.plugins {
			for _, w := range d.words {
				for _, a := range infrastructure(d.plugin, w.text) {
					if name := reserved(a); name != "" {
						k.warn(d, w.place, "%v lies in %s of temporary addresses; wanted a pool without it", a, name)
					}
				}
			}
		}
		k.inventory(s)
	}
}

// infrastructure returns the addresses of servers and routers that a word names.
func infrastructure(plugin, text string) []netip.Addr {
	if network, is := strings.CutPrefix(text, "subnet="); is {
		n, _ := link.ParseNetwork(network) // said already
		return slices.Concat(n.Routers, n.DNS)
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !slices.Contains([]string{"server_id", "router", "dns"}, plugin) {
		return nil
	}
	return []netip.Addr{a}
}

// inventory warns of addresses of SMD that are somebody else's.
func (k *checker) inventory(s server) {
	view, ok := process.Find[func(string) status.View](process.Here(), status.PublishedViews)
	at := slices.IndexFunc(s.plugins, func(d directive) bool { return d.plugin == coresmd.Plugin.Name })
	if !ok || at < 0 || s.name != "server4" {
		return
	}
	k.current = s.plugins[at]
	var faults status.Faults
	if err := (&rehearsal{view: view}).Get(k.ctx, status.PathFaults, status.Params{"limit": everything}, &faults); err != nil {
		return // it was warned of
	}
	taken := slices.DeleteFunc(faults.Faults, func(f status.Fault) bool { return f.Kind != string(smd.TakenAddress) })
	for i, f := range taken {
		if i == mostFaults {
			k.warn(k.current, k.current.place, "SMD: and %d more such addresses; coresmd lint -c %s lists them", len(taken)-i, k.path)
			break
		}
		k.warn(k.current, k.current.place, "SMD: %s: %s", join(" ", f.ID, f.MAC), f.Reason)
	}
}
