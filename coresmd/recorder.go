package coresmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// startRecorder makes room for the last packets, if they are to be recorded. The
// packet loop fills it.
func (s *service) startRecorder() error {
	if s.recordSize == 0 {
		return nil
	}
	ring, err := process.Share(s.process, record.Shared, fmt.Sprintf("record=%dMiB", s.recordSize>>20), func() (*record.Ring, error) {
		return record.New(int(s.recordSize)), nil
	})
	if err != nil {
		return err
	}
	process.Publish(s.process, process.PublishedRecorder, func(seen process.Seen) {
		now := time.Now()
		x := record.Exchange{Time: now, V6: seen.V6, Request: seen.Request.ToBytes()}
		if seen.Reply != nil {
			x.Replied, x.Reply = now, seen.Reply.ToBytes()
		}
		if m, ok := seen.Request.(*dhcpv4.DHCPv4); ok {
			if giaddr := exchange.Addr(m.GatewayIPAddr); giaddr.IsValid() {
				x.From = netip.AddrPortFrom(giaddr, dhcpv4.ServerPort) // where the reply goes, too
				x.ReplyTo = x.From
			}
		}
		x.Decide(seen.Plugin, seen.Verdict, seen.Reason)
		ring.Add(&x)
	})
	return nil
}

// recorded tells what was made of a request, if packets are recorded. On the stock
// loop what is passed on is the next plugin's to tell.
func (s *service) recorded(x *inquiry, v exchange.Verdict, v6 bool, req, reply process.Message) {
	r := s.recorder()
	if v == exchange.Pass {
		r = nil
	}
	if r == nil && x.from.Decided == nil {
		return
	}
	if v == exchange.Drop {
		reply = nil // it may be a nil of its own type
	}
	x.from.Record(r, process.Seen{V6: v6, Request: req, Reply: reply, Plugin: "coresmd", Verdict: v.String(), Reason: x.reason()})
}

// capture writes the recorded exchanges of a machine, or all.
func (v *views) capture(q status.Params, w io.Writer) error {
	ring, ok := process.Find[*record.Ring](v.process, record.Shared)
	if !ok {
		return status.Absent("no packets are recorded; wanted record= in the directive coresmd, such as record=64MiB")
	}
	wanted, err := v.recordedOf(q)
	if err != nil {
		return err
	}
	file := record.NewWriter(w, record.Application+" "+version.Read().Version)
	seen, found := 0, 0
	ring.Each(func(x *record.Exchange) bool {
		if seen++; !wanted(x) {
			return true
		}
		found++
		err = file.Write(x)
		return err == nil
	})
	if err == nil && found == 0 {
		return status.Absent("nothing is recorded of %s; %d exchanges of others are", cmp.Or(q["machine"], "anybody"), seen)
	}
	return errors.Join(err, file.Flush())
}

// recordedOf returns what says that an exchange is of the machine that a question
// is about.
func (v *views) recordedOf(q status.Params) (func(*record.Exchange) bool, error) {
	word, given := q["machine"]
	if !given {
		return func(*record.Exchange) bool { return true }, nil
	}
	macs := v.resolve(word)
	if len(macs) == 0 {
		return nil, status.Absent("nothing is known of %q", word)
	}
	return func(x *record.Exchange) bool {
		mac, ok := asker(x)
		return ok && slices.Contains(macs, mac)
	}, nil
}

// asker returns the hardware address of who sent a request; false: it does not show.
func asker(x *record.Exchange) (mac smd.MAC, ok bool) {
	defer exchange.Recover(func(any, []byte) { ok = false }) // it may be what nobody can read
	if !x.V6 {
		const hlen, chaddr = 2, 28 // RFC 2131 section 2
		if q := x.Request; len(q) >= chaddr+len(mac) && q[hlen] == byte(len(mac)) {
			return smd.MAC(q[chaddr : chaddr+len(mac)]), true
		}
		return mac, false
	}
	m, err := dhcpv6.FromBytes(x.Request)
	if err != nil {
		return mac, false
	}
	ask, _ := exchange.Read6(m) // also of a message that nobody answers
	mac, unknown := ask.Mac(x.From.Addr())
	return mac, unknown == ""
}
