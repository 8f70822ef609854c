package bootloop

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/sirupsen/logrus"
)

// notTheHolder is why a release or a decline changes nothing.
const notTheHolder = "not the holder"

// commitLimit bounds the wait for a lease to be on disk. A client repeats its
// request sooner than that.
const commitLimit = 5 * time.Second

// An inquiry is what becomes known of one request on its way through a handler,
// whichever family it is of.
type inquiry struct {
	ask      exchange.Request
	from     process.Origin
	relayed  netip.Addr    // by which a relay names the client's network; invalid: none
	mac      lease.MAC     // zero: not known, which is so with DHCPv6 only
	network  int           // index of the client's network; none: -1
	addr     netip.Addr    // what the client gets; invalid: none
	left     time.Duration // of a lease that could not be renewed; else 0
	client   netboot.Client
	bootfile string
	why      reason
	detail   string
	dry      bool // nothing is changed, counted or logged by this exchange
}

// because notes the reason of a verdict.
func (x *inquiry) because(v exchange.Verdict, why reason, detail string) exchange.Verdict {
	x.why, x.detail = why, detail
	return v
}

func (x *inquiry) reason() string {
	text := x.why.String()
	if x.detail != "" && text != "" {
		text += ": "
	}
	return text + x.detail
}

// strangerUnknown says that a client without a lease gets nothing, because it
// may be a machine of SMD, which was not heard yet.
func (s *service) strangerUnknown() bool { return !s.unsynced && s.process.StrangersUnknown.Load() }

// acquire returns the client's address, or a free one, and holds it.
func (s *service) acquire(x *inquiry, c lease.Client) (lease.Lease, error) {
	acquire := s.leases.Acquire
	if x.dry {
		acquire = s.leases.Peek
	}
	return acquire(c, s.nets[x.network].pools...)
}

// confirm makes an offer a lease, and waits for that to be on disk.
func (s *service) confirm(x *inquiry, c lease.Client, a netip.Addr, hostname string) (lease.Lease, error) {
	ctx, cancel := s.written(x)
	defer cancel()
	return s.leases.Confirm(ctx, c, a, hostname)
}

// extend renews a lease, and waits for that to be on disk.
func (s *service) extend(x *inquiry, c lease.Client, a netip.Addr, hostname string) (lease.Lease, error) {
	ctx, cancel := s.written(x)
	defer cancel()
	return s.leases.Extend(ctx, c, a, hostname)
}

// written begins the wait for the disk.
func (s *service) written(x *inquiry) (context.Context, context.CancelFunc) {
	if x.from.Waits != nil {
		x.from.Waits()
	}
	return context.WithTimeout(s.process.Context(), commitLimit)
}

// unheld says that a client does not hold what it wanted to have written.
func unheld(err error) bool {
	return errors.Is(err, lease.ErrNotOffered) || errors.Is(err, lease.ErrNotLeased)
}

// leftOf is the time that is left of the lease that a client had before its
// renewal could not be written; 0: it had none.
func leftOf(before lease.Lease) time.Duration {
	if !before.Addr.IsValid() {
		return 0
	}
	return max(0, time.Until(before.Expires).Truncate(time.Second))
}

// inNetwork says that an address is of a pool of the client's network.
func (s *service) inNetwork(x *inquiry, a netip.Addr) bool {
	pool, ok := s.leases.PoolOf(a)
	return ok && s.place[pool] == x.network
}

// recovered reports a panic of a handler with the packet that caused it.
func (s *service) recovered(req interface{ ToBytes() []byte }, value any, stack []byte) {
	s.metrics.drops[panicked].Inc()
	s.metrics.panics.Inc()
	s.log.WithFields(logrus.Fields{"packet": exchange.Dump(req), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// storms are the reasons whose lines are printed once a minute.
var storms = []reason{noPool, exhausted, notLoaded, notWritten}

// level is that of the line of an exchange.
func (s *service) level(x *inquiry) logrus.Level {
	switch {
	case x.why == probe:
		return logrus.DebugLevel
	case slices.Contains(storms, x.why) && !s.quiet[x.why].Allow(time.Now()):
		return logrus.DebugLevel
	case x.why == notWritten, x.why == notLoaded:
		return logrus.ErrorLevel
	case x.why == exhausted, x.why == declined:
		return logrus.WarnLevel
	}
	return logrus.InfoLevel
}

// logExchange writes the line of one exchange, which begins with the fields of
// its request. Nothing is formatted that is not printed.
func (s *service) logExchange(x *inquiry, v exchange.Verdict, begin func() map[string]any) {
	level := s.level(x)
	if !s.log.Logger.IsLevelEnabled(level) {
		return
	}
	fields := logrus.Fields(begin())
	if level < logrus.DebugLevel {
		if held := s.quiet[x.why].Held(); held > 0 {
			fields["held_back"] = held // lines like this one
		}
	}
	if x.addr.IsValid() {
		fields["ip"] = x.addr.String()
	}
	if x.bootfile != "" {
		fields["bootfile"] = x.bootfile
	}
	if text := x.reason(); text != "" {
		fields["reason"] = text
	}
	s.log.WithFields(fields).Log(level, v.String())
}
