package smd

import (
	"crypto/sha256"
	"errors"
	"io"
)

// pieceSize is the size of one piece of a body.
const pieceSize = 64 << 10

// A Body is an answer as it came, in pieces: one that grows is not copied, and
// one that is decoded is given back piece by piece.
type Body struct{ pieces [][]byte }

// NewBody returns a body of these octets, which it keeps.
func NewBody(octets []byte) Body { return Body{[][]byte{octets}} }

// readBody reads to the end.
func readBody(r io.Reader) (Body, error) {
	var b Body
	for {
		piece, err := readPiece(r)
		if len(piece) > 0 {
			b.pieces = append(b.pieces, piece)
		}
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return Body{}, err
		}
	}
}

// readPiece fills one piece.
func readPiece(r io.Reader) ([]byte, error) {
	piece := make([]byte, pieceSize)
	n := 0
	for n < len(piece) {
		m, err := r.Read(piece[n:])
		n += m
		if err != nil {
			return piece[:n], err
		}
	}
	return piece, nil
}

// Len returns the number of octets.
func (b Body) Len() int64 {
	var n int64
	for _, p := range b.pieces {
		n += int64(len(p))
	}
	return n
}

// head returns the first octets, for a log line.
func (b Body) head() []byte {
	if len(b.pieces) == 0 {
		return nil
	}
	return b.pieces[0]
}

// A bodyReader reads a body and forgets each piece once it was read.
type bodyReader struct {
	pieces [][]byte
	at     int // in the first piece
}

// open returns a reader of the body. What was read is no longer held by it.
func (b Body) open() *bodyReader { return &bodyReader{pieces: b.pieces} }

func (r *bodyReader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 && r.at == len(r.pieces[0]) {
		r.pieces[0] = nil // also for those that hold the same list
		r.pieces, r.at = r.pieces[1:], 0
	}
	if len(r.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.pieces[0][r.at:])
	r.at += n
	return n, nil
}

// An Answer is both collections of an inventory as they came.
type Answer struct{ Interfaces, Components Body }

// A digest stands for the octets of an answer.
type digest [sha256.Size]byte

func (a Answer) digest() digest {
	h := sha256.New()
	for _, b := range []Body{a.Interfaces, a.Components} {
		part := sha256.New()
		for _, p := range b.pieces {
			part.Write(p)
		}
		h.Write(part.Sum(nil))
	}
	return digest(h.Sum(nil))
}
