package coresmd

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/sirupsen/logrus"
)

// What plugins of one process publish to each other.
const (
	publishedOwner    = "owner of an address"
	publishedHandler4 = "coresmd DHCPv4"
	publishedHandler6 = "coresmd DHCPv6"
)

// An owner returns the machine that SMD assigns an address to.
type owner = func(netip.Addr) ([6]byte, bool)

// startJournal starts what remembers machines.
func (s *service) startJournal() (err error) {
	s.journal, err = process.Share(s.process, "journal", "", func() (*journal.Journal, error) {
		j := journal.New(journal.Options{Owner: func(a netip.Addr) (journal.MAC, bool) {
			ask, ok := process.Find[owner](s.process, publishedOwner)
			if !ok {
				return journal.MAC{}, false
			}
			return ask(a)
		}})
		s.process.Go(j.Run)
		s.process.Registry.MustRegister(j.Metrics()...)
		return j, nil
	})
	return err
}

// startAudit opens the audit file, if one is asked for.
func (s *service) startAudit() (err error) {
	path := s.listening.audit
	if path == "" {
		return nil
	}
	s.audit, err = process.Share(s.process, "audit", "audit="+path, func() (*audit.Log, error) {
		l, err := audit.Open(path, func(err error) { auditOutcome(s.log, path, err) })
		if err != nil {
			return nil, err
		}
		s.process.Go(l.Run)
		s.process.Hold(process.Stake{Yield: func() error { l.Sync(); return nil }})
		s.process.Registry.MustRegister(l.Metric())
		return l, nil
	})
	return err
}

// auditOutcome tells when the audit file begins to fail and when it works again.
func auditOutcome(log *logrus.Entry, path string, err error) {
	if err != nil {
		log.Errorf("audit: %v", err)
		return
	}
	log.Infof("audit: %s is written again", path)
}

// note4 tells the journal and the audit file of an exchange. Neither is waited
// for. A health probe is no machine's.
func (h *handler4) note4(x *exchange4, v exchange.Verdict, at time.Time) {
	if x.ask.State == exchange.Probe || x.why == badHardware {
		return
	}
	leased := v == exchange.Ack && x.addr.IsValid()
	shown := exchange.Show(x.req, x.relay)
	event := exchange.LeaseEvent(x.ask.State, v)
	e := h.event(&x.inquiry, v, at, shown, leased)
	if e.Lease = leaseState(event, v); e.Lease == journal.Offered || leased {
		e.Held = x.addr
	} else if e.Lease == journal.Refused || slices.Contains(x.machine.Addrs, x.ask.Addr) {
		e.Held = x.ask.Addr
	}
	h.journal.Add(e)
	if h.audited(&x.inquiry) {
		h.record(&x.inquiry, at, event, shown, x.req.TransactionID.String(), x.addr)
	}
}

// note6 does the same for DHCPv6, where a client may hold several addresses.
func (h *handler6) note6(x *exchange6, v exchange.Verdict, at time.Time) {
	if x.mac == (smd.MAC{}) {
		return
	}
	shown := x.ask6.Show(x.relayed)
	event := exchange.LeaseEvent6(x.ask.State, v, x.addr.IsValid())
	h.journal.Add(h.event6(x, v, at, shown, event))
	if event == "" || !h.audited(&x.inquiry) {
		return
	}
	xid := x.ask6.Inner.TransactionID.String()
	if !x.addr.IsValid() {
		h.record(&x.inquiry, at, event, shown, xid, netip.Addr{})
	}
	for _, g := range x.ias {
		if g.addr.IsValid() {
			h.record(&x.inquiry, at, event, shown, xid, g.addr)
		}
	}
}

// event6 is what the journal is told of an exchange of DHCPv6.
func (h *handler6) event6(x *exchange6, v exchange.Verdict, at time.Time, shown exchange.Shown, event string) journal.Event {
	e := h.event(&x.inquiry, v, at, shown, v == exchange.Reply && x.addr.IsValid())
	e.Lease = leaseState(event, v)
	hold := func(a netip.Addr) {
		switch {
		case !a.IsValid():
		case !e.Held.IsValid():
			e.Held = a
		default:
			e.More = append(e.More, a)
		}
	}
	switch e.Lease {
	case journal.Released, journal.Declined:
		for _, a := range x.ask6.Listed() {
			if slices.Contains(x.machine.Addrs, a) {
				hold(a)
			}
		}
		return e
	}
	for _, g := range x.ias {
		hold(g.addr)
		for _, a := range g.listed {
			if v == exchange.Reply && !slices.ContainsFunc(x.ias, func(g given6) bool { return g.addr == a }) {
				e.Gone = append(e.Gone, a)
			}
		}
	}
	return e
}

// leaseState is what the journal is told of a lease, by the word that the audit
// file has for it.
func leaseState(event string, v exchange.Verdict) journal.LeaseState {
	switch event {
	case "given", "renewed":
		return journal.Given
	case "refused":
		return journal.Refused
	case "released":
		return journal.Released
	case "declined":
		return journal.Declined
	}
	if v == exchange.Offer || v == exchange.Advertise {
		return journal.Offered
	}
	return journal.NoLease
}

// event is what the journal is told of an exchange.
func (s *service) event(x *inquiry, v exchange.Verdict, at time.Time, shown exchange.Shown, leased bool) journal.Event {
	return journal.Event{
		Kind: journal.Exchange, At: at, MAC: x.mac,
		Plugin: "coresmd", Message: x.ask.State.Message(), State: x.ask.State.String(), Verdict: v.String(),
		Reason: x.why.String(), Detail: x.detail, Addr: x.addr, Leased: leased,
		Bootfile: x.bootfile, Rule: s.matched(x.told), Lasts: s.leaseOf(x),
		Known: x.machine.ID != "", Boots: x.boot.Kind != netboot.NotBooting, IPXE: x.boot.Kind == netboot.IPXE, Wants: x.ask.State.Wants(),
		Shown: journal.Shown(shown),
	}
}

// audited says that the audit file is told of an exchange: of machines of SMD.
func (s *service) audited(x *inquiry) bool { return s.audit != nil && x.machine.ID != "" }

// record tells the audit file what became of a lease. Where none is given the
// address is that which the client asked for.
func (s *service) record(x *inquiry, at time.Time, event string, shown exchange.Shown, xid string, given netip.Addr) {
	if event == "" {
		return
	}
	r := audit.Record{
		Time: at, Event: event, Plugin: "coresmd", MAC: x.mac, Addr: x.ask.Addr, ID: x.machine.ID, Type: x.machine.Type,
		DUID: shown.DUID, Giaddr: shown.Giaddr, Circuit: shown.Circuit, Remote: shown.Remote,
		Message: x.ask.State.Message(), State: x.ask.State.String(), XID: xid,
	}
	switch event {
	case "given", "renewed":
		r.Addr, r.Lease, r.Hostname = given, s.leaseOf(x), x.told.Hostname
	case "refused":
		r.Reason = x.reason()
	}
	s.audit.Add(r)
}

// leaseOf is the time of the lease that a machine is given.
func (s *service) leaseOf(x *inquiry) time.Duration {
	if x.told.LeaseTime > 0 {
		return x.told.LeaseTime
	}
	return s.leaseTime
}

// noteTransfer tells the journal of a transfer. What never was a request is no
// machine's.
func (s *service) noteTransfer(t bootfile.Transfer) {
	if t.Outcome == bootfile.Malformed {
		return
	}
	e := journal.Event{
		Kind: journal.TFTP, At: time.Now(), From: t.Client.Addr().Unmap(), Verdict: string(t.Outcome), Bootfile: t.Name, Octets: t.Sent,
	}
	if t.HTTP {
		e.Kind = journal.HTTP
	}
	if t.Err != nil {
		e.Detail = fmt.Sprint(t.Err)
	}
	s.journal.Add(e)
}
