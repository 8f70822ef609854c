package bootfile

import (
	"errors"
	"fmt"
	"time"
)

// run answers one request, and tells of it.
func (s *Server) run(e *session) {
	t := Transfer{Client: e.client, Name: e.request.name}
	t.Err = s.answer(e, &t)
	t.Outcome = outcomeOf(t.Err)
	t.Took = time.Since(e.began)
	s.table.leave(e)
	e.cancel(nil)
	s.report(t)
}

// answer sends the file or an ERROR. A panic on the way is an error of this
// transfer only.
func (s *Server) answer(e *session, t *Transfer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	direct, err := s.line(e)
	if err != nil {
		return err
	}
	defer direct.close()
	l := newPacedLine(direct, e, s.budget)
	err = s.send(l, e, t)
	var f *failure
	if errors.As(err, &f) && f.text != "" {
		_ = l.send(errorPacket(f.code, f.text)) // the client asks again, or gives up
	}
	return err
}

// line is the way to the client of a session.
func (s *Server) line(e *session) (line, error) {
	if s.singlePort {
		return &sharedLine{
			ctx: e.ctx, socket: s.socket, client: e.client,
			source: s.socket.source(e.endpoint), inbox: e.inbox,
		}, nil
	}
	return newOwnLine(e.ctx, e.endpoint)
}

// send sends the file that a request asks for, and notes how far it came.
func (s *Server) send(l line, e *session, t *Transfer) error {
	if err := e.request.acceptable(); err != nil {
		return err
	}
	f, err := s.root.open(Asked{Server: e.ours, Client: e.client.Addr(), File: e.request.name})
	if err != nil {
		return err
	}
	defer f.Close()
	t.Size = f.size
	agreed := e.request.negotiate(offer{size: f.size, block: e.block, second: s.second})
	var from source = octets{f, f.size}
	if e.request.netascii() {
		from = newText(f)
	}
	sending := newSender(l, from, agreed, s.second)
	err = sending.run()
	t.Sent = sending.sent()
	return err
}

// acceptable reports what is never done, whatever the file.
func (r request) acceptable() error {
	switch {
	case r.op == opWrite:
		err := fmt.Errorf("request to write %q", r.name)
		return &failure{Refused, codeIllegal, "files cannot be written here", err}
	case !r.octet() && !r.netascii():
		err := fmt.Errorf("mode %q, want octet or netascii", r.mode)
		return &failure{Refused, codeIllegal, "the mode must be octet or netascii", err}
	}
	return nil
}
