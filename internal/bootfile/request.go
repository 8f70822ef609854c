package bootfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is a read or write request as it came (RFC 1350, RFC 2347).
type request struct {
	op         uint16
	name, mode string
	options    []option
}

// option is a name and a value; names are compared without regard to case.
type option struct{ name, value string }

// parseRequest reads a read or write request. What stands after the last
// complete pair of option name and value is padding to some firmware, and
// ignored.
func parseRequest(b []byte) (request, error) {
	if len(b) < 2 {
		return request{}, fmt.Errorf("a datagram of %d octets", len(b))
	}
	r := request{op: binary.BigEndian.Uint16(b)}
	if r.op != opRead && r.op != opWrite {
		return request{}, fmt.Errorf("operation %d, want 1 or 2", r.op)
	}
	words := terminated(b[2:])
	if len(words) < 2 {
		return request{}, fmt.Errorf("a request of %d octets without file name and mode", len(b))
	}
	r.name, r.mode = words[0], words[1]
	for pair := range slices.Chunk(words[2:], 2) {
		if len(pair) < 2 || pair[0] == "" {
			break
		}
		r.options = append(r.options, option{pair[0], pair[1]})
	}
	return r, nil
}

// terminated returns the strings in b that end in a NUL.
func terminated(b []byte) []string {
	var words []string
	for {
		word, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return words
		}
		words, b = append(words, string(word)), rest
	}
}

// encode is the reverse of parseRequest.
func (r request) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, r.op)
	b = append(append(b, r.name...), 0)
	b = append(append(b, r.mode...), 0)
	return appendOptions(b, r.options)
}

// same reports whether two requests ask for the same thing, as a repeated one
// does.
func (r request) same(other request) bool {
	return r.op == other.op && r.name == other.name && r.mode == other.mode &&
		slices.Equal(r.options, other.options)
}

// netascii reports whether the file is to be sent as text (RFC 764).
func (r request) netascii() bool { return strings.EqualFold(r.mode, "netascii") }

// octet reports whether the file is to be sent as it is.
func (r request) octet() bool { return strings.EqualFold(r.mode, "octet") }

// Bounds of what is negotiated. The block sizes are RFC 2348's; a window is
// kept small enough for the receive buffers of firmware.
const (
	plainBlock = 512
	minBlock   = 8
	maxBlock   = 65464
	maxWindow  = 64
)

// terms are what client and server agree on.
type terms struct {
	block   int           // octets in a block (RFC 2348)
	timeout time.Duration // 0: the client left it to us (RFC 2349)
	window  int           // blocks sent for one ACK (RFC 7440)
	agreed  []option      // to acknowledge, spelled and ordered as asked
}

// offer is what the server has to negotiate with.
type offer struct {
	size   int64         // of the file
	block  func(int) int // the block asked for, or the largest below it that the link takes
	second time.Duration
}

// negotiators read the value of an option into the terms and return the value
// to acknowledge; false leaves the option out, as it does an unknown one.
var negotiators = map[string]func(*terms, int64, offer) (int64, bool){
	"blksize":    negotiateBlock,
	"tsize":      negotiateSize,
	"timeout":    negotiateTimeout,
	"windowsize": negotiateWindow,
}

// negotiate settles the options of a request. Of an option given twice the
// first counts. Text is sent without size, which is not known before the end,
// and block by block.
func (r request) negotiate(o offer) terms {
	t := terms{block: plainBlock, window: 1}
	seen := map[string]bool{}
	for _, asked := range r.options {
		key := strings.ToLower(asked.name)
		apply := negotiators[key]
		if apply == nil || seen[key] || r.netascii() && (key == "tsize" || key == "windowsize") {
			continue
		}
		seen[key] = true
		value, err := strconv.ParseUint(asked.value, 10, 63)
		if err != nil {
			continue
		}
		if answer, ok := apply(&t, int64(value), o); ok {
			t.agreed = append(t.agreed, option{asked.name, strconv.FormatInt(answer, 10)})
		}
	}
	return t
}

func negotiateBlock(t *terms, value int64, o offer) (int64, bool) {
	if value < minBlock || value > maxBlock {
		return 0, false
	}
	t.block = o.block(int(value))
	return int64(t.block), true
}

func negotiateSize(_ *terms, _ int64, o offer) (int64, bool) { return o.size, true }

func negotiateTimeout(t *terms, value int64, o offer) (int64, bool) {
	if value < 1 || value > 255 {
		return 0, false
	}
	t.timeout = time.Duration(value) * o.second
	return value, true
}

func negotiateWindow(t *terms, value int64, _ offer) (int64, bool) {
	if value < 1 || value > 65535 {
		return 0, false
	}
	t.window = int(min(value, maxWindow))
	return int64(t.window), true
}
