package bootfile

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// errAskedAnew ends the transfer of a client that asks for something else
// from the same port: it has forgotten the old one.
var errAskedAnew = gone(errors.New("the client asked for something else"))

// inboxLen is how many replies wait for a transfer; what is more gets lost as
// datagrams do.
const inboxLen = 16

// session is an accepted request and the transfer that answers it.
type session struct {
	endpoint
	request request
	began   time.Time
	ctx     context.Context
	cancel  context.CancelCauseFunc
	inbox   chan reply // never closed
}

func newSession(ctx context.Context, e endpoint, r request) *session {
	s := &session{endpoint: e, request: r, began: time.Now(), inbox: make(chan reply, inboxLen)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// table holds the sessions that run, one for each client address and port.
type table struct {
	maxAll, maxHost int

	mu     sync.Mutex
	byPort map[netip.AddrPort]*session
	byHost map[netip.Addr]int
	all    int
}

func newTable(maxAll, maxHost int) *table {
	return &table{
		maxAll: maxAll, maxHost: maxHost,
		byPort: map[netip.AddrPort]*session{}, byHost: map[netip.Addr]int{},
	}
}

// admission is what becomes of a request.
type admission int

const (
	admitted admission = iota
	repeated           // its transfer runs already
	full               // a limit is reached
)

// admit enters a session, which must leave again. A request that differs from
// the one whose transfer runs ends that one.
func (t *table) admit(s *session) admission {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.byPort[s.client]
	if old != nil && old.request.same(s.request) {
		return repeated
	}
	if old != nil {
		old.cancel(errAskedAnew)
	}
	if t.all >= t.maxAll || t.byHost[s.client.Addr()] >= t.maxHost {
		return full
	}
	t.byPort[s.client] = s
	t.byHost[s.client.Addr()]++
	t.all++
	return admitted
}

// leave removes a session that was admitted.
func (t *table) leave(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byPort[s.client] == s {
		delete(t.byPort, s.client)
	}
	t.all--
	host := s.client.Addr()
	if t.byHost[host]--; t.byHost[host] == 0 {
		delete(t.byHost, host)
	}
}

// deliver hands a reply to the client's session, if it can take it, and reports
// whether there is one.
func (t *table) deliver(client netip.AddrPort, r reply) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byPort[client]
	if s == nil {
		return false
	}
	select {
	case s.inbox <- r:
	default:
	}
	return true
}
