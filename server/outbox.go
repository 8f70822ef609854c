package server

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/mmsg"
)

const (
	// sendPatience is how long a send queue may be full before replies are dropped:
	// clients ask again.
	sendPatience = 100 * time.Millisecond
	// maxQueue is how many replies wait while others are sent.
	maxQueue = 4096
)

// An outbox holds what is to be sent by one socket. Whoever finds nobody sending
// sends for all, so that replies that become ready together leave together.
type outbox struct {
	loop   *loop
	family *familyMetrics
	name   string // for complaints
	file   *os.File
	writer *mmsg.Writer

	mu      sync.Mutex
	sending bool  // guarded by mu
	queue   queue // guarded by mu
	spare   queue // of whoever sends
}

// A queue is messages and the octets of their payloads.
type queue struct {
	messages []mmsg.Message
	octets   []byte
}

func newOutbox(l *loop, family *familyMetrics, name string, file *os.File) (*outbox, error) {
	w, err := mmsg.NewWriter(file, batchSize, sendPatience)
	return &outbox{loop: l, family: family, name: name, file: file, writer: w}, err
}

// add queues a message; the payload is copied. It returns false if the queue is
// full.
func (o *outbox) add(m mmsg.Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue.messages) >= maxQueue {
		return false
	}
	q := &o.queue
	from := len(q.octets)
	q.octets = append(q.octets, m.Payload...)
	m.Payload = q.octets[from:len(q.octets):len(q.octets)]
	q.messages = append(q.messages, m)
	return true
}

// flush sends what is queued, unless somebody else is just doing that.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sending {
		return
	}
	o.sending = true
	for len(o.queue.messages) > 0 {
		out := o.queue
		o.queue = o.spare
		o.mu.Unlock()
		o.send(out.messages)
		clear(out.messages)
		o.spare = queue{out.messages[:0], out.octets[:0]}
		o.mu.Lock()
	}
	o.sending = false
}

// send sends messages. One that cannot be sent is complained of and passed over;
// when the send queue stays full, so are those behind it.
func (o *outbox) send(messages []mmsg.Message) {
	for len(messages) > 0 {
		n, err := o.writer.Send(messages)
		o.family.sent.Add(float64(n))
		if messages = messages[n:]; len(messages) == 0 {
			return
		}
		if mmsg.Full(err) {
			o.family.dropped[queueFull].Add(float64(len(messages)))
			o.loop.complain("sending "+o.name, fmt.Errorf("%w: %d replies dropped", err, len(messages)))
			return
		}
		o.family.dropped[sendFailed].Inc()
		o.loop.complain("sending "+o.destination(messages[0]), err)
		messages = messages[1:]
	}
}

// destination says where a message was to go.
func (o *outbox) destination(m mmsg.Message) string {
	text := o.name
	if m.To.IsValid() {
		text = fmt.Sprintf("to %v %s", m.To, text)
	}
	if i, ok := o.loop.table.Index(m.Index); ok && i.Name != o.name {
		text += " by " + i.Name
	}
	return text
}

// A writing is the replies of one goroutine, on their way to the outboxes.
type writing struct {
	loop  *loop
	waits func() // deals the rest of the batch out; nil: there is none
	room  []byte // for the octets of one reply
	boxes []*outbox
}

// add queues a message; it returns why it was dropped.
func (w *writing) add(o *outbox, m mmsg.Message) reason {
	if !o.add(m) {
		return queueFull
	}
	for _, have := range w.boxes {
		if have == o {
			return ""
		}
	}
	w.boxes = append(w.boxes, o)
	return ""
}

// flush sends what was queued.
func (w *writing) flush() {
	for _, o := range w.boxes {
		o.flush()
	}
	w.boxes = w.boxes[:0]
}

// pinned returns an address if it is one of this host's that a packet can be
// sent from.
func (l *loop) pinned(a netip.Addr) netip.Addr {
	if l.table.Local(a) {
		return a
	}
	return netip.Addr{}
}
