package rule

import (
	"errors"
	"fmt"
	"strings"
)

// The lengths of RFC 1123 section 2.1 and RFC 1035 section 2.3.4.
const (
	maxLabel = 63
	maxName  = 253
)

// A fault is what keeps a label from being one.
type fault uint8

const (
	sound fault = iota
	empty
	longLabel
	hyphenFirst
	hyphenLast
)

// nameFaults say it of a name.
var nameFaults = [...]string{
	"", "a label of the name is empty", "a label of the name is longer than 63 characters",
	"a label of the name begins with a hyphen", "a label of the name ends with a hyphen",
}

// in says it of one label of a text.
func (f fault) in(text string, label int) error {
	if f == empty {
		return errors.New("a label is empty")
	}
	return fmt.Errorf("%q%s", strings.Split(text, ".")[label], strings.TrimPrefix(nameFaults[f], "a label of the name"))
}

// faultIn finds the first label that is none (RFC 1123 section 2.1). Characters
// were looked at before.
func faultIn[T string | []byte](name T) (label int, f fault) {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			continue
		}
		switch {
		case i == start:
			return label, empty
		case i-start > maxLabel:
			return label, longLabel
		case name[start] == '-':
			return label, hyphenFirst
		case name[i-1] == '-':
			return label, hyphenLast
		}
		label, start = label+1, i+1
	}
	return 0, sound
}

// domains returns the domains that stand behind a name, in their order.
func (a Append) domains(own, global string) [2]string {
	switch a {
	case AppendGlobal:
		return [2]string{global}
	case AppendRule:
		return [2]string{own}
	case AppendGlobalRule:
		return [2]string{global, own}
	case AppendRuleGlobal:
		return [2]string{own, global}
	case AppendNone:
		return [2]string{}
	}
	if own != "" {
		return [2]string{own}
	}
	return [2]string{global}
}

// parseDomain takes a domain. A dot before or behind it is left out.
func parseDomain(text string) (string, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(text, "."), ".")
	for _, r := range name {
		if r != '-' && r != '.' && !isLetterOrDigit(r) {
			return "", fmt.Errorf("%q is not for domain names", r)
		}
	}
	if at, fault := faultIn(name); fault != sound {
		return "", fault.in(name, at)
	}
	if len(name) > maxName-2 {
		return "", errors.New("longer than 251 characters, with no room for a name before it")
	}
	return name, nil
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func isLetterOrDigit(r rune) bool { return isLetter(r) || r >= '0' && r <= '9' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
