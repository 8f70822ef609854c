package rule

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// maxID is the longest xname that a rule can name: SMD's column holds no more,
// and so many positions fit into the word that idSet.holds keeps them in.
const maxID = 63

// An idSet is a bracket list: a text in lower case, and behind it numbers and
// texts.
type idSet struct {
	prefix string
	parts  []idPart
}

// An idPart is a text in lower case or, where that is empty, a number.
type idPart struct {
	text  string
	spans []span
}

// A span is the numbers from lo to hi, written with at least width digits.
type span struct {
	lo, hi uint64
	width  int
}

// setIDSets reads bracket lists separated by | or, in a quoted value, by
// commas outside of brackets.
func setIDSets(r *Rule, text string, fail failure) {
	for _, part := range outside(text, "|,") {
		if part == "" {
			fail(text, errEmpty)
			return
		}
		if _, err := parseIDSet(part); err != nil {
			fail(part, err)
			continue
		}
		r.IDSets = append(r.IDSets, part)
	}
}

// outside cuts a text at the separators that stand in no bracket.
func outside(text, separators string) []string {
	var parts []string
	start, inside := 0, false
	for i := range len(text) {
		switch {
		case text[i] == '[':
			inside = true
		case text[i] == ']':
			inside = false
		case !inside && strings.IndexByte(separators, text[i]) >= 0:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

func parseIDSet(text string) (idSet, error) {
	var set idSet
	least := 0
	for rest := lowered(text); rest != ""; {
		before, after, open := strings.Cut(rest, "[")
		if strings.ContainsAny(before, "]*?") {
			return idSet{}, fmt.Errorf("%q is neither an xname nor a list in brackets", before)
		}
		switch {
		case least == 0:
			set.prefix = before
		case before != "":
			set.parts = append(set.parts, idPart{text: before})
		}
		least += len(before)
		if !open {
			break
		}
		list, behind, closed := strings.Cut(after, "]")
		if !closed {
			return idSet{}, fmt.Errorf("the bracket [ before %q is not closed", after)
		}
		spans, err := parseSpans(list)
		if err != nil {
			return idSet{}, fmt.Errorf("[%s]: %w", list, err)
		}
		set.parts = append(set.parts, idPart{spans: spans})
		least++
		rest = behind
	}
	if least > maxID {
		return idSet{}, fmt.Errorf("longer than %d characters", maxID)
	}
	return set, nil
}

func parseSpans(list string) ([]span, error) {
	var spans []span
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		lo, err1 := parseEnd(first)
		hi, err2 := parseEnd(last)
		switch {
		case part == "":
			return nil, errors.New("a number is missing")
		case err1 != nil || err2 != nil:
			return nil, fmt.Errorf("%q is not a number or a range such as 0-3", part)
		case hi < lo:
			return nil, fmt.Errorf("the range %s ends before its start", part)
		}
		spans = append(spans, span{lo, hi, max(widthOf(first), widthOf(last))})
	}
	return spans, nil
}

// maxDigits keeps numbers far from 2^64.
const maxDigits = 18

func parseEnd(text string) (uint64, error) {
	if text == "" || len(text) > maxDigits || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New("not digits")
	}
	return strconv.ParseUint(text, 10, 64)
}

// widthOf returns the number of digits that a number with leading zeros sets.
func widthOf(text string) int {
	if len(text) > 1 && text[0] == '0' {
		return len(text)
	}
	return 0
}

// holds says whether an xname in lower case, of at most maxID characters, is in
// the set. Bit i of at stands for: what was matched may end before character i.
// So every way to divide digits between brackets is tried, and the time is
// bounded by the number of parts times that of characters and digits.
func (s *idSet) holds(id []byte) bool {
	if len(id) < len(s.prefix) || string(id[:len(s.prefix)]) != s.prefix {
		return false
	}
	at := uint64(1) << len(s.prefix)
	for i := range s.parts {
		at = s.parts[i].step(id, at)
	}
	return at&(1<<len(id)) != 0
}

func (p *idPart) step(id []byte, at uint64) uint64 {
	next := uint64(0)
	for ; at != 0; at &= at - 1 {
		start := bits.TrailingZeros64(at)
		if p.text == "" {
			next |= p.numbers(id, start)
		} else if end := start + len(p.text); end <= len(id) && string(id[start:end]) == p.text {
			next |= 1 << end
		}
	}
	return next
}

// numbers returns the positions behind the numbers of the list that begin at
// start.
func (p *idPart) numbers(id []byte, start int) uint64 {
	next, value := uint64(0), uint64(0)
	for end := start; end < len(id) && end-start < maxDigits; end++ {
		c := id[end]
		if c < '0' || c > '9' {
			break
		}
		value = value*10 + uint64(c-'0')
		if p.has(value, end+1-start, id[start] == '0') {
			next |= 1 << (end + 1)
		}
	}
	return next
}

// has says whether the list has a value written with so many digits.
func (p *idPart) has(value uint64, digits int, zero bool) bool {
	for _, s := range p.spans {
		if value < s.lo || value > s.hi || digits < s.width {
			continue
		}
		if digits == 1 || digits == s.width || !zero {
			return true
		}
	}
	return false
}
