package server

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

const (
	// batchSize is how many datagrams one call receives or sends.
	batchSize = 128
	// flushEvery is after how many packets replies leave, so that clients have
	// something to do meanwhile.
	flushEvery = 64
	// patience is how long the packets of a batch wait for one whose handler
	// blocks, before each gets a goroutine of its own. It begins with each packet.
	patience = time.Millisecond
	// maxFlight is how many packets are in the chains at once.
	maxFlight = 4096
)

// A packet is a message that has come.
type packet struct {
	mmsg.Datagram // without payload
	v4            *dhcpv4.DHCPv4
	reply4        *dhcpv4.DHCPv4 // room
	v6            dhcpv6.DHCPv6
	seen          *record.Exchange // nil: it is not recorded
}

// A batch is packets that came together. One goroutine, a worker of the socket,
// takes them through the chain one after the other, and their replies leave
// together. When a handler says that it waits, as for the disk, or when it blocks,
// the rest is dealt out, and another worker takes the place of the one that waits.
type batch struct {
	socket  *socket
	packets []packet
	atOnce  bool         // nobody had to wait for them
	next    atomic.Int32 // the first that nobody has claimed
	timer   *time.Timer
	waits   func() // deal

	mu     sync.Mutex
	over   bool  // guarded by mu: the worker has no packet any more
	dealt  bool  // guarded by mu: the rest was dealt out
	looked int32 // guarded by mu: next, when look last ran
}

// newBatch returns an empty batch of a socket.
func (s *socket) newBatch() *batch {
	if b, ok := s.spare.Get().(*batch); ok {
		return b
	}
	b := &batch{socket: s, packets: make([]packet, 0, batchSize), over: true}
	b.waits = b.deal
	b.timer = time.AfterFunc(time.Hour, b.look)
	b.timer.Stop()
	return b
}

// work is what a worker of a socket does until the reading ends.
func (s *socket) work() {
	stretch := 0 // packets since this worker last waited
	for {
		if stretch >= breath {
			s.loop.breather.breathe()
			stretch = 0
		}
		b := s.newBatch()
		if err := s.read(b); err != nil {
			if s.broken(err) {
				return
			}
			continue
		}
		if stretch += len(b.packets); !b.atOnce {
			stretch = 0
		}
		if b.run() {
			return
		}
		s.spare.Put(b)
	}
}

// broken reports that reading failed. It returns true when it was told to end.
func (s *socket) broken(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		return true
	}
	s.loop.complain("receiving on "+s.name, err)
	time.Sleep(patience)
	return false
}

// run takes the packets through the chain and sends the replies. It returns true
// if another worker has taken this one's place.
func (b *batch) run() (replaced bool) {
	b.start()
	w := writing{loop: b.socket.loop, waits: b.waits}
	done := int64(0)
	for p := b.claim(); p != nil; p = b.claim() {
		b.socket.handle(p, &w)
		if done++; done%flushEvery == 0 {
			w.flush()
		}
	}
	w.flush()
	b.socket.loop.flight.Add(-done)
	return b.finish()
}

func (b *batch) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over, b.dealt, b.looked = false, false, 1
	b.timer.Reset(b.socket.loop.patience)
}

// finish says whether the rest was dealt out meanwhile.
func (b *batch) finish() (dealt bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Stop()
	b.over = true
	return b.dealt
}

// claim returns the next packet that nobody has; nil: there is none.
func (b *batch) claim() *packet {
	i := int(b.next.Add(1)) - 1
	if i >= len(b.packets) {
		return nil
	}
	return &b.packets[i]
}

// look deals the rest out if the handler that was at work when it last looked
// still is. A long batch is no reason.
func (b *batch) look() {
	if b.stuck() {
		b.deal()
	}
}

func (b *batch) stuck() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false
	}
	now := b.next.Load()
	if now == b.looked {
		return true
	}
	b.looked = now
	b.timer.Reset(b.socket.loop.patience)
	return false
}

// deal gives each packet that nobody has claimed a goroutine of its own, and the
// socket another worker: the handler of the last one claimed waits.
func (b *batch) deal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.dealt {
		return
	}
	b.dealt = true
	b.timer.Stop() // nothing is left to look after
	l := b.socket.loop
	l.running.Go(b.socket.work)
	for p := b.claim(); p != nil; p = b.claim() {
		l.running.Go(func() {
			w := writing{loop: l}
			b.socket.handle(p, &w)
			w.flush()
			l.flight.Add(-1)
		})
	}
	l.flushAll()
}

// read waits for packets and parses them.
func (s *socket) read(b *batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(b.packets)
	b.packets = b.packets[:0]
	n, atOnce, err := s.reader.Read()
	if err != nil {
		return err
	}
	b.atOnce = atOnce
	foreign := 0
	for i := range n {
		p := packet{Datagram: s.reader.Datagram(i)}
		if s.foreign(&p) {
			foreign++
			continue
		}
		s.see(&p)
		if why := s.parse(&p); why != "" {
			s.dropped(why, &p)
			continue
		}
		p.Payload = nil
		b.packets = append(b.packets, p)
	}
	s.metrics.received.Add(float64(n - foreign))
	b.packets = s.admit(b.packets)
	b.next.Store(0)
	return nil
}

// admit takes packets into flight, as far as there is room.
func (s *socket) admit(packets []packet) []packet {
	n := int64(len(packets))
	over := min(max(s.loop.flight.Add(n)-maxFlight, 0), n)
	if over == 0 {
		return packets
	}
	s.loop.flight.Add(-over)
	for i := n - over; i < n; i++ {
		s.dropped(tooMany, &packets[i])
	}
	return packets[:n-over]
}

// parse reads the message of a datagram. It returns why it is dropped.
func (s *socket) parse(p *packet) (why reason) {
	defer exchange.Recover(func(value any, stack []byte) {
		s.panicked(p, value, stack)
		why = panicked
	})
	if p.Truncated {
		return tooLong
	}
	var err error
	if s.v4() {
		pair := s.slab.pair()
		p.v4, p.reply4 = &pair.request, &pair.reply
		err = parse4(p.v4, s.slab.clone(p.Payload))
	} else {
		p.v6, err = dhcpv6.FromBytes(append([]byte(nil), p.Payload...)) // options may keep what they were read from
	}
	if err != nil {
		return malformed
	}
	return ""
}

// handle takes a packet through the chain of its family.
func (s *socket) handle(p *packet, w *writing) {
	defer exchange.Recover(func(value any, stack []byte) {
		s.panicked(p, value, stack)
		s.dropped(panicked, p)
	})
	var why reason
	if p.v4 != nil {
		why = s.answer4(p, w)
	} else {
		why = s.answer6(p, w)
	}
	if why != "" {
		s.dropped(why, p)
	}
	s.recorded(p, "")
}
