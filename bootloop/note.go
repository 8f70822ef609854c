package bootloop

import (
	"net/netip"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
)

// startJournal starts what remembers machines, unless coresmd did.
func (h *handler4) startJournal() (err error) {
	h.journal, err = process.Share(h.process, "journal", "", func() (*journal.Journal, error) {
		j := journal.New(journal.Options{Owner: func(a netip.Addr) (journal.MAC, bool) {
			ask, ok := process.Find[func(netip.Addr) ([6]byte, bool)](h.process, "owner of an address")
			if !ok {
				return journal.MAC{}, false
			}
			return ask(a)
		}})
		h.process.Go(j.Run)
		h.process.Registry.MustRegister(j.Metrics()...)
		return j, nil
	})
	return err
}

// startAudit opens the audit file, if one is asked for.
func (h *handler4) startAudit() (err error) {
	if h.auditFile == "" {
		return nil
	}
	h.audit, err = process.Share(h.process, "audit", "audit="+h.auditFile, func() (*audit.Log, error) {
		l, err := audit.Open(h.auditFile, func(err error) {
			if err != nil {
				h.log.Errorf("audit: %v", err)
				return
			}
			h.log.Infof("audit: %s is written again", h.auditFile)
		})
		if err != nil {
			return nil, err
		}
		h.process.Go(l.Run)
		h.process.Hold(process.Stake{Yield: func() error { l.Sync(); return nil }})
		h.process.Registry.MustRegister(l.Metric())
		return l, nil
	})
	return err
}

// note tells the journal and the audit file of an exchange. Neither is waited
// for. A health probe is no machine's.
func (h *handler4) note(x *exchange4, v exchange.Verdict, at time.Time) {
	if x.why == probe || x.why == badHardware {
		return
	}
	shown := exchange.Show(x.req, x.relay)
	h.journal.Add(journal.Event{
		Kind: journal.Exchange, At: at, MAC: x.mac,
		Plugin: "bootloop", Message: x.ask.State.Message(), State: x.ask.State.String(), Verdict: v.String(),
		Reason: x.why.String(), Detail: x.detail, Addr: x.addr, Leased: v == exchange.Ack && x.addr.IsValid(),
		Bootfile: x.bootfile, Boots: x.client.Kind != netboot.NotBooting, IPXE: x.client.Kind == netboot.IPXE, Wants: x.ask.State.Wants(),
		Shown: journal.Shown(shown),
	})
	event := exchange.LeaseEvent(x.ask.State, v)
	if h.audit == nil || event == "" || x.detail == notTheHolder {
		return
	}
	r := audit.Record{
		Time: at, Event: event, Plugin: "bootloop", MAC: x.mac, Addr: x.ask.Addr,
		Giaddr: shown.Giaddr, Circuit: shown.Circuit, Remote: shown.Remote,
		Message: x.ask.State.Message(), State: x.ask.State.String(), XID: x.req.TransactionID.String(),
	}
	switch v {
	case exchange.Ack:
		r.Addr, r.Lease = x.addr, h.leaseTime
		if x.left > 0 {
			r.Lease = x.left
		}
	case exchange.NakReply:
		r.Reason = x.why.String()
	}
	h.audit.Add(r)
}
