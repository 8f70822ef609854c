package bootfile

import (
	"bufio"
	"errors"
	"io"
)

// source gives a file block by block.
type source interface {
	// block fills p with block n, counted from 1. A block shorter than p is
	// the last. A block may be asked for again as long as no later one was.
	block(n int64, p []byte) (int, error)
}

// octets is a file as it is. Any block may be asked for at any time.
type octets struct {
	r    io.ReaderAt
	size int64
}

// block reports io.ErrUnexpectedEOF when the file has become shorter since it
// was opened; what was added since then is left out.
func (o octets) block(n int64, p []byte) (int, error) {
	at := (n - 1) * int64(len(p))
	p = p[:max(0, min(o.size-at, int64(len(p))))]
	got, err := o.r.ReadAt(p, at)
	if got == len(p) {
		return got, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return got, err
}

// text is a file in netascii: a line ends in CR LF, a bare CR is followed by
// a NUL (RFC 764).
type text struct {
	r    *bufio.Reader
	n    int64  // the block held
	held []byte // for when it is asked for again
	next int    // second octet of a pair that fell into the next block, or -1
}

func newText(f file) *text {
	return &text{r: bufio.NewReader(io.NewSectionReader(f, 0, f.size)), next: -1}
}

func (t *text) block(n int64, p []byte) (int, error) {
	if n == t.n {
		return copy(p, t.held), nil
	}
	t.n, t.held = n, t.held[:0]
	for len(t.held) < len(p) {
		c, err := t.octet()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		t.held = append(t.held, c)
	}
	return copy(p, t.held), nil
}

// octet returns the next octet on the wire.
func (t *text) octet() (byte, error) {
	if t.next >= 0 {
		c := byte(t.next)
		t.next = -1
		return c, nil
	}
	c, err := t.r.ReadByte()
	if err != nil {
		return 0, err
	}
	switch c {
	case '\n':
		t.next, c = '\n', '\r'
	case '\r':
		t.next = 0
	}
	return c, nil
}
