package rule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A placeholder is a part of a pattern.
type placeholder uint8

const (
	literal placeholder = iota
	number
	id
	parent
	typ
	role
	mac
	nic
)

// placeholders are what a pattern may hold beside text, as a manual names them.
var placeholders = []string{"{04d}", "{d}", "{id}", "{parent}", "{type}", "{role}", "{mac}", "{nic}"}

var named = []word[placeholder]{
	{"d", number}, {"id", id}, {"parent", parent}, {"type", typ}, {"role", role}, {"mac", mac}, {"nic", nic},
}

// A pattern makes host names.
type pattern struct {
	text  string
	parts []part
}

// A part is a text or a placeholder, with what is said when it cannot be filled.
type part struct {
	what  placeholder
	text  string // of a literal
	width int    // of a number
	lack  string
	bad   string
}

// compile reads a pattern. One that can make no host name is an error.
func compile(text string) (*pattern, error) {
	p := &pattern{text: text}
	for rest := text; rest != ""; {
		before, after, open := strings.Cut(rest, "{")
		if err := p.addText(before); err != nil {
			return nil, err
		}
		if !open {
			break
		}
		word, behind, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("the { before %q is not closed", after)
		}
		if err := p.addPlaceholder(word); err != nil {
			return nil, err
		}
		rest = behind
	}
	return p, p.check()
}

func (p *pattern) addText(text string) error {
	for _, r := range text {
		if r != '-' && r != '.' && !isLetterOrDigit(r) {
			return fmt.Errorf("%q is not for host names", r)
		}
	}
	if text != "" {
		p.parts = append(p.parts, part{text: text})
	}
	return nil
}

func (p *pattern) addPlaceholder(text string) error {
	one := part{
		lack: "no " + text + " for {" + text + "}",
		bad:  "{" + text + "} holds a character that is not for host names",
	}
	word := text
	if digits, ok := strings.CutSuffix(text, "d"); ok && strings.Trim(digits, "0123456789") == "" {
		one.lack = "no node number for {" + text + "}"
		if digits != "" {
			width, err := parseNumber(strings.TrimPrefix(digits, "0"), 1, maxWidth)
			if err != nil {
				return fmt.Errorf("placeholder {%s} has no width from 1 to %d", text, maxWidth)
			}
			one.width, word = int(width), "d"
		}
	}
	what, err := oneOf(named, word)
	if err != nil {
		return fmt.Errorf("unknown placeholder {%s}", text)
	}
	one.what = what
	p.parts = append(p.parts, one)
	return nil
}

// check makes the shortest names of a pattern, for the first interface and for
// another one, and finds what is no host name.
func (p *pattern) check() error {
	for nic := range 2 {
		sample := Facts{ID: "x0c0", Type: "t", Role: "r", HasNID: true, NIC: nic}
		var buf nameBuffer
		name, why := p.fill(buf[:0], &sample)
		if why != "" {
			return errors.New(why)
		}
		if at, fault := faultIn(name); fault != sound {
			return fault.in(p.text, at)
		}
	}
	return nil
}

// A nameBuffer has room for a name and one part too many.
type nameBuffer [2 * (maxName + 1)]byte

const tooLong = "longer than 253 characters"

// fill puts a machine's name behind an empty buffer, or says why there is none.
func (p *pattern) fill(name []byte, f *Facts) (filled []byte, why string) {
	for i := range p.parts {
		name, why = p.parts[i].fill(name, f)
		if why == "" && len(name) > maxName {
			why = tooLong
		}
		if why != "" {
			return nil, why
		}
	}
	return name, ""
}

func (o *part) fill(name []byte, f *Facts) (filled []byte, why string) {
	switch o.what {
	case literal:
		return append(name, o.text...), ""
	case number:
		if !f.HasNID {
			return nil, o.lack
		}
		return appendNumber(name, f.NID, o.width), ""
	case mac:
		return hex.AppendEncode(name, f.MAC[:]), ""
	case nic:
		if f.NIC > 0 {
			name = strconv.AppendInt(append(name, "-nic"...), int64(f.NIC), 10)
		}
		return name, ""
	}
	return o.word(name, f)
}

// word puts a word of SMD behind a name, in lower case.
func (o *part) word(name []byte, f *Facts) (filled []byte, why string) {
	var text string
	switch o.what {
	case id:
		text = f.ID
	case parent:
		text = parentOf(f.ID)
	case typ:
		text = f.Type
	case role:
		text = f.Role
	}
	switch {
	case text == "":
		return nil, o.lack
	case len(text) > maxName:
		return nil, tooLong
	}
	for i := range len(text) {
		c := lower(text[i])
		if c != '-' && !isLetterOrDigit(rune(c)) {
			return nil, o.bad
		}
		name = append(name, c)
	}
	return name, ""
}

const maxWidth = 20

func appendNumber(name []byte, n uint64, width int) []byte {
	var buf [maxWidth]byte
	digits := strconv.AppendUint(buf[:0], n, 10)
	for range width - len(digits) {
		name = append(name, '0')
	}
	return append(name, digits...)
}

// parentOf takes the last letters and their number off an xname.
func parentOf(xname string) string {
	return strings.TrimRightFunc(strings.TrimRight(xname, "0123456789"), isLetter)
}

// full makes a machine's name with its domains, or says why there is none.
func (p *pattern) full(f *Facts, domains [2]string) (name, why string) {
	var buf nameBuffer
	filled, why := p.fill(buf[:0], f)
	if why != "" {
		return "", why
	}
	if _, fault := faultIn(filled); fault != sound {
		return "", nameFaults[fault]
	}
	for _, d := range domains {
		if d == "" {
			continue
		}
		if len(filled)+1+len(d) > maxName {
			return "", tooLong
		}
		filled = append(append(filled, '.'), d...)
	}
	return string(filled), ""
}

// fits says whether the shortest name of a pattern fits before the domains.
func (p *pattern) fits(domains [2]string) bool {
	_, why := p.full(&Facts{ID: "x0c0", Type: "t", Role: "r", HasNID: true}, domains)
	return why != tooLong
}

func parseHostname(text string) (string, error) {
	if len(text) > maxName {
		return "", errors.New(tooLong)
	}
	_, err := compile(text)
	return text, err
}
