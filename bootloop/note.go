package bootloop

import (
	"net/netip"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
)

// startJournal starts what remembers machines, unless coresmd did.
func (s *service) startJournal() (err error) {
	s.journal, err = process.Share(s.process, "journal", "", func() (*journal.Journal, error) {
		j := journal.New(journal.Options{Owner: func(a netip.Addr) (journal.MAC, bool) {
			ask, ok := process.Find[func(netip.Addr) ([6]byte, bool)](s.process, "owner of an address")
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
	if s.auditFile == "" {
		return nil
	}
	s.audit, err = process.Share(s.process, "audit", "audit="+s.auditFile, func() (*audit.Log, error) {
		l, err := audit.Open(s.auditFile, func(err error) {
			if err != nil {
				s.log.Errorf("audit: %v", err)
				return
			}
			s.log.Infof("audit: %s is written again", s.auditFile)
		})
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

// note tells the journal of an exchange, which is not waited for. A machine
// whose hardware address is not known is none there.
func (s *service) note(x *inquiry, v exchange.Verdict, at time.Time, leased bool, shown exchange.Shown) {
	if x.mac == (lease.MAC{}) {
		return
	}
	s.journal.Add(journal.Event{
		Kind: journal.Exchange, At: at, MAC: x.mac,
		Plugin: "bootloop", Message: x.ask.State.Message(), State: x.ask.State.String(), Verdict: v.String(),
		Reason: x.why.String(), Detail: x.detail, Addr: x.addr, Leased: leased,
		Bootfile: x.bootfile, Boots: x.client.Kind != netboot.NotBooting, IPXE: x.client.Kind == netboot.IPXE, Wants: x.ask.State.Wants(),
		Shown: journal.Shown(shown),
	})
}

// record tells the audit file what became of a lease of an address; empty:
// nothing. It is not waited for.
func (s *service) record(x *inquiry, at time.Time, event string, a netip.Addr, shown exchange.Shown, xid string) {
	if s.audit == nil || event == "" || x.detail == notTheHolder {
		return
	}
	r := audit.Record{
		Time: at, Event: event, Plugin: "bootloop", MAC: x.mac, Addr: a,
		DUID: shown.DUID, Giaddr: shown.Giaddr, Circuit: shown.Circuit, Remote: shown.Remote,
		Message: x.ask.State.Message(), State: x.ask.State.String(), XID: xid,
	}
	switch event {
	case "given", "renewed":
		r.Lease = s.leaseTime
		if x.left > 0 {
			r.Lease = x.left
		}
	case "refused":
		r.Reason = x.why.String()
	}
	s.audit.Add(r)
}

// note4 tells of an exchange. A health probe is no machine's.
func (h *handler4) note4(x *exchange4, v exchange.Verdict, at time.Time) {
	if x.why == probe || x.why == badHardware {
		return
	}
	shown := exchange.Show(x.req, x.relay)
	h.note(&x.inquiry, v, at, v == exchange.Ack && x.addr.IsValid(), shown)
	a := x.ask.Addr
	if v == exchange.Ack {
		a = x.addr
	}
	h.record(&x.inquiry, at, exchange.LeaseEvent(x.ask.State, v), a, shown, x.req.TransactionID.String())
}

// note6 tells of an exchange, and of each lease of it.
func (h *handler6) note6(x *exchange6, v exchange.Verdict, at time.Time) {
	if x.why == malformed {
		return
	}
	shown := x.Show(x.relayed)
	committed := v == exchange.Reply && (x.ask.State == exchange.Requesting || x.ask.State == exchange.Solicit || x.ask.State == exchange.Renew || x.ask.State == exchange.Rebind)
	h.note(&x.inquiry, v, at, committed && x.addr.IsValid(), shown)
	for _, g := range x.grants {
		h.noteGrant(x, g, v, at, shown)
	}
}

// noteGrant tells the audit file of an IA.
func (h *handler6) noteGrant(x *exchange6, g grant, v exchange.Verdict, at time.Time, shown exchange.Shown) {
	a := g.addr
	if listed := exchange.Addrs(g.ia); !a.IsValid() && len(listed) > 0 {
		a = listed[0]
	}
	one := x.inquiry
	one.why, one.detail, one.left = g.why, g.note, g.left
	h.record(&one, at, exchange.LeaseEvent6(x.ask.State, v, g.addr.IsValid()), a, shown, x.Inner.TransactionID.String())
}
