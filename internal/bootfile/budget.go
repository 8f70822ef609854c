package bootfile

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// wireOverhead is what Ethernet adds to an IP packet: preamble, header, check
// sequence and the gap to the next frame.
const wireOverhead = 8 + 14 + 4 + 12

// burstTime is how much of the budget may go out at once: what a timer that is
// late by as much would lose otherwise. At 1 Gbit/s it is 250 kB, which the
// buffer of a switch takes.
const burstTime = 2 * time.Millisecond

// leastBurst lets two full frames out at once, however small the budget is.
const leastBurst = 2 * (ethernetMTU + wireOverhead)

// budget is the send budget that all transfers share, in octets on the wire.
// Packets that wait go out in the order in which they came, so transfers that
// have something to send take turns, packet by packet. Only the first of them
// waits for the limiter: if all had a reservation, those that came due while
// this process was not running would go out at once. nil is no budget.
type budget struct {
	limiter *rate.Limiter
	turn    chan struct{} // holds a token while somebody's packet is the next
}

// newBudget returns the budget of a link that carries so many bits a second; 0
// is none.
func newBudget(bits int64) *budget {
	if bits <= 0 {
		return nil
	}
	octets := float64(bits) / 8
	burst := max(leastBurst, int(octets*burstTime.Seconds()))
	return &budget{rate.NewLimiter(rate.Limit(octets), burst), make(chan struct{}, 1)}
}

// spend takes what a packet costs out of the budget without waiting: all that
// wait, wait longer.
func (b *budget) spend(octets int) {
	_ = b.each(octets, func(n int) error {
		b.limiter.ReserveN(time.Now(), n)
		return nil
	})
}

// wait waits for a packet's turn. It returns an error only when ctx ends.
func (b *budget) wait(ctx context.Context, octets int) error {
	if b == nil {
		return nil
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	return b.each(octets, func(n int) error { return b.limiter.WaitN(ctx, n) })
}

// each calls take with parts of octets that the limiter takes at once: a packet
// of a large block may be larger.
func (b *budget) each(octets int, take func(n int) error) error {
	if b == nil {
		return nil
	}
	for octets > 0 {
		n := min(octets, b.limiter.Burst())
		if err := take(n); err != nil {
			return err
		}
		octets -= n
	}
	return nil
}

// pacedLine sends what the budget allows. The first packet, which answers the
// request, goes out at once: firmware that is not answered gives up. All others
// wait for their turn, whether they are sent for the first time or again.
type pacedLine struct {
	line
	ctx      context.Context
	budget   *budget
	overhead int // of a packet, up to the TFTP header
	answered bool
}

func newPacedLine(l line, e *session, b *budget) *pacedLine {
	overhead := overhead4
	if e.client.Addr().Is6() {
		overhead = overhead6
	}
	return &pacedLine{line: l, ctx: e.ctx, budget: b, overhead: overhead - headerLen + wireOverhead}
}

func (l *pacedLine) send(b []byte) error {
	cost := l.overhead + len(b)
	if !l.answered {
		l.answered = true
		l.budget.spend(cost)
	} else if err := l.budget.wait(l.ctx, cost); err != nil {
		return err // receive tells why the transfer ends
	}
	return l.line.send(b)
}
