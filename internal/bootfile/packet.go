package bootfile

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Operation codes (RFC 1350 section 5, RFC 2347).
const (
	opRead  uint16 = 1
	opWrite uint16 = 2
	opData  uint16 = 3
	opAck   uint16 = 4
	opError uint16 = 5
	opOack  uint16 = 6
)

// Error codes (RFC 1350 appendix).
const (
	codeOther      uint16 = 0
	codeNotFound   uint16 = 1
	codeAccess     uint16 = 2
	codeIllegal    uint16 = 4
	codeUnknownTID uint16 = 5
)

// headerLen is the length of the operation code and the block number that
// stand before the octets of a DATA packet.
const headerLen = 4

// reply is what a client says during a transfer: an ACK with its block
// number, or an ERROR with its code and text.
type reply struct {
	op     uint16
	number uint16
	text   string
}

// parseReply reads an ACK or ERROR packet, and reports false for everything
// else. Nothing of b is kept.
func parseReply(b []byte) (reply, bool) {
	if len(b) < headerLen {
		return reply{}, false
	}
	r := reply{op: binary.BigEndian.Uint16(b), number: binary.BigEndian.Uint16(b[2:])}
	if r.op != opAck && r.op != opError {
		return reply{}, false
	}
	if r.op == opError {
		text, _, _ := bytes.Cut(b[headerLen:], []byte{0})
		r.text = strings.ToValidUTF8(string(text), "?")
	}
	return r, true
}

// errorPacket is an ERROR packet.
func errorPacket(code uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16(nil, opError)
	b = binary.BigEndian.AppendUint16(b, code)
	return append(append(b, text...), 0)
}

// oackPacket acknowledges options (RFC 2347). It is nil when there are none,
// for then the first DATA packet is the answer.
func oackPacket(options []option) []byte {
	if len(options) == 0 {
		return nil
	}
	return appendOptions(binary.BigEndian.AppendUint16(nil, opOack), options)
}

func appendOptions(b []byte, options []option) []byte {
	for _, o := range options {
		b = append(append(b, o.name...), 0)
		b = append(append(b, o.value...), 0)
	}
	return b
}
