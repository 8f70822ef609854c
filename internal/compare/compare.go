// Package compare holds what two servers answer against each other. It takes
// messages apart into named parts, pairs the requests of a stream of datagrams
// with the replies to them, has another server asked the same, and sums up what
// differs. It neither sends nor receives.
package compare

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// A Part is a field of a message's header, or an option.
type Part struct {
	Code  int    `json:"code"` // of the option; 0: a field of the header
	Name  string `json:"name"`
	Value string `json:"value"` // in the form that people read; never empty
}

// Label names a part: an option by its code and its name.
func (p Part) Label() string {
	if p.Code == 0 {
		return p.Name
	}
	return fmt.Sprintf("%d %s", p.Code, p.Name)
}

// A Difference is a part that two messages do not have alike.
type Difference struct {
	Code int    `json:"code"`          // of the option; 0: a field of the header
	Part string `json:"part"`          // its label
	Old  string `json:"old,omitempty"` // empty: the old message lacks it
	New  string `json:"new,omitempty"` // empty: the new message lacks it
}

// Differences returns what differs between an old message and a new one: in the
// order of the old one, then what only the new one has. Where the parts stand is
// no difference. Of parts with one label, those that differ are held against
// each other in their order.
func Differences(before, after []Part) []Difference {
	var all []Difference
	rest := without(after, before)
	for _, p := range without(before, after) {
		d := Difference{Code: p.Code, Part: p.Label(), Old: p.Value}
		for i, q := range rest {
			if q.Label() == d.Part {
				d.New = q.Value
				rest = append(rest[:i:i], rest[i+1:]...)
				break
			}
		}
		all = append(all, d)
	}
	for _, p := range rest {
		all = append(all, Difference{Code: p.Code, Part: p.Label(), New: p.Value})
	}
	return all
}

// without returns the parts that are not among others, each of which takes one
// away.
func without(parts, others []Part) []Part {
	left := make(map[Part]int, len(others))
	for _, p := range others {
		left[p]++
	}
	var rest []Part
	for _, p := range parts {
		if left[p] > 0 {
			left[p]--
			continue
		}
		rest = append(rest, p)
	}
	return rest
}

// octets writes octets as text if they are, else in hexadecimal.
func octets(value []byte) string {
	if len(value) == 0 {
		return "(empty)"
	}
	text := bytes.TrimRight(value, "\x00") // some servers end texts so
	for _, b := range text {
		if b < ' ' || b > '~' {
			return "0x" + hex.EncodeToString(value)
		}
	}
	if len(text) == 0 {
		return "0x" + hex.EncodeToString(value)
	}
	return string(text) + strings.Repeat(`\x00`, len(value)-len(text))
}

// printable escapes what does not print.
func printable(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}
