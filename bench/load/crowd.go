package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Times after which a client asks again (RFC 2131 section 4.1): four seconds,
// doubled each time, give or take one.
const (
	retryFirst = 4 * time.Second
	retryMost  = 64 * time.Second
	retryFuzz  = time.Second
)

// requests is how often a client asks for what it was offered before it begins
// anew.
const requests = 4

// mistakes is how many wrong answers are told.
const mistakes = 10

// A client's state.
type state uint8

const (
	idle state = iota
	discovering
	requesting
	bound // of a crowd whose clients have one handshake each
)

// A client is one of a crowd. Times are since the start of the job.
type client struct {
	state  state
	tries  uint8
	turn   uint16 // tells its handshakes apart
	offer  uint32
	server uint32
	began  time.Duration
	due    time.Duration // asks again then
}

// A transaction id tells the crowd, the handshake and the client.
const (
	clientBits = 17
	turnBits   = 14
)

// A crowd is a Crowd under way.
type crowd struct {
	Crowd
	job      *Job
	id       uint32
	port     port
	discover *template
	request  *template
	random   *rand.Rand
	clients  []client
	base     uint32 // address of client 0; 0: any
	holders  map[uint32]int

	next     int           // client that begins next
	open     int           // handshakes under way
	started  int           // handshakes so far
	due      time.Duration // when the next one of mode rate begins
	now      time.Duration
	measured bool // what happens now counts
	since    time.Duration
	done     bool
	clocks   clocks
	times    [Busy + 1][]time.Duration // by the phase in which they began
	result   Result
}

func newCrowd(c Crowd, id uint32, job *Job, p port, discover, request *template) *crowd {
	w := &crowd{
		Crowd: c, id: id, job: job, port: p, discover: discover, request: request,
		clients: make([]client, c.Clients), random: rand.New(rand.NewPCG(job.Seed, uint64(id))),
	}
	if c.Base.IsValid() {
		four := c.Base.As4()
		w.base = binary.BigEndian.Uint32(four[:])
	} else {
		w.holders = make(map[uint32]int, c.Clients)
	}
	return w
}

// start begins what is to begin at that time.
func (w *crowd) start(now time.Duration) error {
	w.now = now
	w.measure()
	for n := w.wanted(); n > 0; n-- {
		if !w.pick() {
			break
		}
		c := &w.clients[w.next]
		c.state, c.tries, c.began = discovering, 0, now
		c.turn = (c.turn + 1) & (1<<turnBits - 1)
		w.open++
		w.started++
		if err := w.say(w.next); err != nil {
			return err
		}
		w.next++
	}
	return nil
}

// wanted returns how many handshakes are to begin now.
func (w *crowd) wanted() int {
	switch {
	case w.done:
		return 0
	case w.Mode == Burst:
		return min(w.Clients-w.started, batchSize) // and look for answers in between
	case w.Mode == Window:
		return w.Window - w.open
	}
	n := 0
	for ; w.due <= w.now; n++ {
		w.due += time.Duration(w.random.ExpFloat64() * float64(time.Second) / float64(w.Rate))
	}
	if w.Busy && w.job.phase(w.now) != Busy {
		return 0
	}
	return n
}

// pick moves next to a client that can begin; false: there is none.
func (w *crowd) pick() bool {
	for range w.clients {
		if w.next == len(w.clients) {
			w.next = 0
		}
		if w.clients[w.next].state == idle {
			return true
		}
		if w.Once {
			return false
		}
		w.next++
	}
	return false
}

// measure begins and ends the measured time.
func (w *crowd) measure() {
	end := w.Warm + w.For
	switch {
	case w.done:
	case !w.measured && (w.Mode == Burst || w.now >= w.Warm):
		w.measured, w.since = true, w.now
		w.clocks = readClocks(w.job.PID)
	case w.Mode != Burst && w.now >= end, w.Once && w.open == 0 && w.started == w.Clients:
		w.finish()
	}
}

// finish ends the measured time.
func (w *crowd) finish() {
	now := readClocks(w.job.PID)
	w.done, w.measured = true, false
	r := &w.result
	r.Took = w.now - w.since
	r.Server, r.Self = now.server-w.clocks.server, now.self-w.clocks.self
	r.Open = w.open
	r.Calm, r.Busy = rank(w.times[Calm]), rank(w.times[Busy])
	r.Times = rank(slices.Concat(w.times[:]...))
}

// rank sorts times.
func rank(times []time.Duration) Times {
	if len(times) == 0 {
		return Times{}
	}
	slices.Sort(times)
	at := func(part float64) time.Duration { return times[int(part*float64(len(times)-1))] }
	return Times{at(0.5), at(0.99), at(1)}
}

// say sends the message of a client's state.
func (w *crowd) say(n int) error {
	c := &w.clients[n]
	m := message{
		xid: w.id<<31 | uint32(c.turn)<<clientBits | uint32(n), mac: mac(w.First + n), to: w.job.Server,
	}
	if relays := w.job.Relays; len(relays) > 0 {
		m.relay = &relays[n%len(relays)]
	}
	t := w.discover
	if c.state == requesting {
		t = w.request
		m.addr, m.server = c.offer, c.server
	}
	frame, err := w.port.frame(len(t.frame))
	if err != nil {
		return err
	}
	t.put(frame, &m)
	c.due = w.now + w.patience(c.tries)
	return nil
}

// patience returns how long a client waits for an answer.
func (w *crowd) patience(tries uint8) time.Duration {
	if w.Retry > 0 {
		return w.Retry
	}
	fuzz := time.Duration(w.random.Int64N(int64(2*retryFuzz))) - retryFuzz
	return min(retryFirst<<min(tries, 8), retryMost) + fuzz
}

// mac returns the hardware address of a client.
func mac(n int) [6]byte { return [6]byte{0x02, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// again has all clients that have waited long enough ask again.
func (w *crowd) again(now time.Duration) error {
	w.now = now
	if w.open == 0 {
		return nil
	}
	for n := range w.clients {
		c := &w.clients[n]
		if c.due > now || c.state != discovering && c.state != requesting {
			continue
		}
		c.tries++
		if c.state == requesting && c.tries > requests {
			c.state, c.tries = discovering, 0
		}
		if w.measured {
			w.result.Again++
		}
		if err := w.say(n); err != nil {
			return err
		}
	}
	return nil
}

// hear takes what a server says to one of the crowd.
func (w *crowd) hear(r *reply, now time.Duration) error {
	w.now = now
	n := int(r.xid & (1<<clientBits - 1))
	if n >= len(w.clients) {
		return nil
	}
	c := &w.clients[n]
	if uint16(r.xid>>clientBits)&(1<<turnBits-1) != c.turn {
		return nil // late: that handshake is over
	}
	switch {
	case c.state == discovering && (r.kind == dhcpv4.MessageTypeOffer || w.Echo):
		c.state, c.tries, c.offer, c.server = requesting, 0, r.addr, r.server
		return w.say(n)
	case c.state == requesting && (r.kind == dhcpv4.MessageTypeAck || w.Echo && r.kind == dhcpv4.MessageTypeRequest):
		w.take(n, r)
	case c.state == requesting && r.kind == dhcpv4.MessageTypeNak:
		w.result.Refused++
		c.state, c.tries = discovering, 0
		return w.say(n)
	}
	return nil
}

// take ends a handshake.
func (w *crowd) take(n int, r *reply) {
	c := &w.clients[n]
	c.state = idle
	if w.Once {
		c.state = bound
	}
	w.open--
	if !w.Echo {
		w.check(n, r)
	}
	if !w.measured {
		return
	}
	w.result.Leases++
	phase := w.job.phase(c.began)
	w.times[phase] = append(w.times[phase], w.now-c.began)
	if w.Clients == 1 {
		w.result.Last = slices.Clone(r.octets)
	}
}

// check looks whether the address is the client's.
func (w *crowd) check(n int, r *reply) {
	switch {
	case r.addr != w.clients[n].offer:
		w.wrong(n, "offered %v, given %v", ip(w.clients[n].offer), ip(r.addr))
	case w.base > 0 && r.addr != w.base+uint32(n):
		w.wrong(n, "given %v, its address is %v", ip(r.addr), ip(w.base+uint32(n)))
	case w.base == 0:
		if other, taken := w.holders[r.addr]; taken && other != n || r.addr == 0 {
			w.wrong(n, "given %v, which client %d has", ip(r.addr), other)
		}
		w.holders[r.addr] = n
	}
}

func (w *crowd) wrong(n int, format string, about ...any) {
	if len(w.result.Wrong) < mistakes {
		w.result.Wrong = append(w.result.Wrong, fmt.Sprintf("client %d: ", n)+fmt.Sprintf(format, about...))
	}
}
