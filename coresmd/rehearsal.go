package coresmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// PublishedBefore4 is the name under which who rehearses publishes a Before4.
const PublishedBefore4 = "plugins before coresmd"

// A Before4 takes a request through the plugins that stand before this one. It
// returns the reply so far, and if the chain ended there, the plugin that did
// it; a reply of nil is then none.
type Before4 = func(req *dhcpv4.DHCPv4) (resp *dhcpv4.DHCPv4, by string)

// PublishedBefore6 is the PublishedBefore4 of DHCPv6.
const PublishedBefore6 = "plugins before coresmd, DHCPv6"

// A Before6 is the Before4 of DHCPv6. It is given the reply that CoreDHCP
// prepares.
type Before6 = func(req, resp dhcpv6.DHCPv6) (reply dhcpv6.DHCPv6, by string)

// prepare returns the reply that this plugin would get for a request, where it
// comes from, and which plugin ended the chain before; empty: none.
func (h *handler6) prepare(e *explained, req dhcpv6.DHCPv6, inner *dhcpv6.Message) (dhcpv6.DHCPv6, process.Origin, string) {
	resp, from, seen := h.last.prepare(inner)
	before, ok := process.Find[Before6](h.process, PublishedBefore6)
	if !ok {
		if !seen {
			e.unseen()
		}
		return resp, from, ""
	}
	reply, by := before(req, resp)
	return reply, from, by
}

// prepare returns the reply that this plugin would get for a request, and
// whether that is known.
func (h *handler4) prepare(req *dhcpv4.DHCPv4) prepared {
	before, ok := process.Find[Before4](h.process, PublishedBefore4)
	if !ok {
		resp, from, seen := h.last.prepare(req)
		return prepared{resp: resp, from: from, seen: seen}
	}
	resp, by := before(req)
	return prepared{resp: resp, seen: true, by: by}
}

// A prepared is what the plugins before this one make of a request.
type prepared struct {
	resp *dhcpv4.DHCPv4
	from process.Origin
	seen bool   // it is known
	by   string // the plugin that ended the chain; empty: none
}

// rehearse makes ready to answer questions. What is wrong is told all at once.
func (s *service) rehearse() error {
	if err := errors.Join(s.startMetrics(), s.startJournal()); err != nil {
		return err
	}
	return errors.Join(s.rehearseFiles(), s.rehearseInventory(), s.rehearseListener())
}

// rehearseFiles looks at the boot files, and warns of what is missing there.
func (s *service) rehearseFiles() error {
	if err := s.shareBoot(); err != nil {
		return err
	}
	if !s.tftp && s.bootHTTP.Port() == 0 {
		return nil
	}
	folder, err := bootfile.Look(s.bootFiles(""))
	if err != nil {
		return err
	}
	s.lookAt(folder)
	s.tftpServer = folder
	if s.tftp && s.tftpPort != usualTFTP {
		s.log.Warnf("tftp_port=%d: firmware and the script inside of iPXE ask port %d", s.tftpPort, usualTFTP)
	}
	if !folder.Missing() {
		s.missLoaders(folder)
	}
	return nil
}

// usualTFTP is the port of TFTP: no option of DHCP names another.
const usualTFTP = 69

// missLoaders warns of loaders that machines are told of and that are not there.
func (s *service) missLoaders(folder *bootfile.Folder) {
	some := false
	for _, file := range s.boot.Loaders {
		some = some || folder.Has(file)
	}
	if !some {
		names := slices.Compact(slices.Sorted(maps.Values(netboot.DefaultLoaders())))
		s.log.Warnf("tftp_dir %s has no loader; wanted those of the machines here, of %s", s.tftpDir, strings.Join(names, ", "))
	}
	miss := func(of, file string) {
		if file != "" && !strings.Contains(file, "://") && !folder.Has(file) {
			s.log.Warnf("%s: tftp_dir %s has no file %s", of, s.tftpDir, file)
		}
	}
	for _, l := range s.archFiles {
		miss(fmt.Sprintf("bootfile_arch=%d:%s", l.Arch, l.File), l.File)
	}
	for i, r := range s.rules.Rules() {
		if !r.NextServer.IsValid() {
			miss("rule "+s.rules.Name(i), r.Bootfile)
		}
	}
}

// rehearseInventory makes ready to read SMD, or what stands in its place.
func (s *service) rehearseInventory() error {
	source, err := s.source()
	if err != nil {
		return err
	}
	r, _ := s.process.Rehearsal()
	if r.Inventory != "" {
		source = smd.Folder{Path: r.Inventory}
	}
	s.cache, err = process.Share(s.process, "inventory", s.inventoryWords(), func() (*smd.Cache, error) {
		if r.Follow {
			return s.runInventory(source), nil
		}
		cache, _ := s.newInventory(source, nil)
		return cache, nil
	})
	process.Publish(s.process, process.PublishedMachines, process.Machines{ID: s.idOf, Each: s.eachID})
	return err
}

// idOf is the ID of a process.Machines.
func (s *service) idOf(mac [6]byte) string { return s.cache.Lookup(mac).ID }

// eachID is the Each of a process.Machines.
func (s *service) eachID(tell func(id string)) {
	for _, m := range s.cache.Find(func(*smd.Machine) bool { return true }, maxMachines) {
		tell(m.ID)
	}
}

// rehearse4 is Handle of a plugin that rehearses.
func (h *handler4) rehearse4(req, resp *dhcpv4.DHCPv4, from process.Origin) (reply *dhcpv4.DHCPv4, stop bool) {
	x := exchange4{req: req, prepared: resp, inquiry: inquiry{from: from, dry: true}}
	v, reply, stop := h.answer(&x)
	x.decided(v)
	return reply, stop
}

// rehearse6 is Handle of a plugin that rehearses.
func (h *handler6) rehearse6(req, resp dhcpv6.DHCPv6, from process.Origin) (reply dhcpv6.DHCPv6, stop bool) {
	x := exchange6{req: req, inquiry: inquiry{from: from, dry: true}}
	v, reply, stop := h.answer(&x, resp)
	x.decided(v)
	return reply, stop
}

// decided tells who asks what was decided.
func (x *inquiry) decided(v exchange.Verdict) {
	if x.from.Decided != nil {
		x.from.Decided("coresmd", v.String(), x.reason())
	}
}

// rehearseListener shows what the status listener would tell. SMD is read at
// the first question: then the pools of all plugins are known.
func (s *service) rehearseListener() error {
	table := (&views{service: s, started: s.born}).table()
	read := sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(s.process.Context(), firstPollLimit)
		defer cancel()
		return s.cache.Refresh(ctx)
	})
	process.Publish(s.process, status.PublishedViews, func(path string) status.View {
		if err := read(); err != nil {
			return func(context.Context, status.Params) (any, error) {
				return nil, fmt.Errorf("reading the inventory of %s: %w", s.inventorySource(), err)
			}
		}
		return table[path].view
	})
	if s.listening.audit == "" {
		return nil
	}
	return process.WouldOpen(s.listening.audit)
}

// inventorySource names where the inventory comes from.
func (s *service) inventorySource() string {
	if r, _ := s.process.Rehearsal(); r.Inventory != "" {
		if abs, err := filepath.Abs(r.Inventory); err == nil {
			return fmt.Sprintf("file://%s", abs)
		}
	}
	return s.smd.Redacted()
}
