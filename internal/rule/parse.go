package rule

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Grammar is what Parse takes, in words for an error.
const Grammar = "KEY:VALUE[,KEY:VALUE]"

// A mistakeError is one mistake in a rule.
type mistakeError struct{ what, wanted string }

func (e mistakeError) Error() string { return e.what + "; wanted " + e.wanted }

// Wanted says what was wanted. It is in the text too.
func (e mistakeError) Wanted() string { return e.wanted }

// An unknownKeyError is a key that the grammar does not have.
type unknownKeyError string

func (e unknownKeyError) Error() string { return fmt.Sprintf("unknown key %q", string(e)) }

// Unknown returns the key and those that there are, for a suggestion.
func (e unknownKeyError) Unknown() (word string, known []string) { return string(e), keyNames() }

// keyNames returns the names of all keys.
func keyNames() []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// Parse reads one rule. Every mistake is in the error, one a line, with its key
// and value and what was wanted. That of a key that does not exist has the
// method Unknown, which returns the key and those that there are.
func Parse(text string) (Rule, error) {
	p := parsing{given: make(map[string]bool)}
	words, err := split(unwrap(text))
	if err != nil {
		return Rule{}, err
	}
	for i, w := range words {
		p.word(i+1, w)
	}
	p.finish()
	if len(p.errs) > 0 {
		return Rule{}, errors.Join(p.errs...)
	}
	return p.rule, nil
}

// A parsing is one reading of one rule.
type parsing struct {
	rule   Rule
	given  map[string]bool // keys, right or wrong; options with their code
	unread bool            // a word could not be told
	errs   []error
}

func (p *parsing) fail(what, wanted string) {
	p.errs = append(p.errs, mistakeError{what, wanted})
}

func (p *parsing) word(number int, text string) {
	name, value, found := strings.Cut(text, ":")
	k := keyNamed(name)
	switch {
	case text == "":
		p.fail(fmt.Sprintf("word %d is empty", number), Grammar)
	case !found:
		p.unread = true
		p.fail(fmt.Sprintf("word %d, %q, has no colon", number, text), Grammar)
	case k == nil:
		p.unread = true
		p.errs = append(p.errs, unknownKeyError(name))
	case p.given[once(name, value)]:
		p.fail(once(name, value)+" is given twice", "it once")
	default:
		p.given[name], p.given[once(name, value)] = true, true
		p.set(k, value)
	}
}

// once names what may be given once: a key, or an option by its code.
func once(name, value string) string {
	code, _, found := strings.Cut(value, "=")
	if found && (name == "option" || name == "option6") {
		return name + " " + code
	}
	return name
}

func (p *parsing) set(k *key, value string) {
	if value == "" {
		p.fail(k.name+" is empty", k.wanted)
		return
	}
	k.set(&p.rule, value, func(part string, reason error) {
		mistake := mistakeError{reason.Error(), k.wanted}
		_ = errors.As(reason, &mistake) // it may know better what was wanted
		p.fail(fmt.Sprintf("%s %q: %s", k.name, part, mistake.what), mistake.wanted)
	})
}

// finish finds what no single word shows.
func (p *parsing) finish() {
	if p.given["netmask"] && p.given["cidr"] {
		p.fail("two masks, netmask and cidr", "one of them")
	}
	told := p.told()
	switch {
	case p.rule.Ignore:
		p.ignored(told)
	case len(told) == 0 && !p.unread && len(p.errs) == 0:
		p.fail("no action", "a key that says what a machine is told, such as hostname, or ignore:true")
	}
	p.length()
}

// told returns the keys that say what a machine is told.
func (p *parsing) told() []string {
	var told []string
	for _, k := range keys {
		if k.kind == action && k.name != "ignore" && p.given[k.name] {
			told = append(told, k.name)
		}
	}
	return told
}

// ignored finds what has no use beside ignore:true.
func (p *parsing) ignored(told []string) {
	if len(told) > 0 {
		p.fail("ignore:true beside "+strings.Join(told, ", ")+", which nobody would be told", "one or the other")
	}
	if p.rule.Continue {
		p.fail("ignore:true beside continue:true, and there is nothing to go on for", "one or the other")
	}
}

// length finds a domain that leaves no room for the name before it.
func (p *parsing) length() {
	if p.rule.Hostname == "" {
		return
	}
	name, err := compile(p.rule.Hostname)
	if err == nil && !name.fits(p.rule.Append.domains(p.rule.Domain, "")) {
		p.fail(fmt.Sprintf("hostname %q with domain %q: %s", p.rule.Hostname, p.rule.Domain, tooLong), "a shorter name")
	}
}

// unwrap takes the quotes away that stand around the whole text.
func unwrap(text string) string {
	if len(text) < 2 || !isQuote(rune(text[0])) || strings.IndexByte(text[1:], text[0]) != len(text)-2 {
		return text
	}
	return text[1 : len(text)-1]
}

func isQuote(r rune) bool { return r == '"' || r == '\'' }

// A splitter cuts a rule into words at the commas outside of quotes and
// brackets, and takes the quotes out.
type splitter struct {
	quote rune // that is open; 0: none
	depth int  // of brackets
	open  int  // where the quote or the outer bracket stands
	word  strings.Builder
	words []string
}

func split(text string) ([]string, error) {
	if text == "" {
		return nil, mistakeError{"the rule is empty", Grammar}
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, mistakeError{"a character that cannot be printed", Grammar}
	}
	var s splitter
	for at, r := range text {
		s.next(at, r)
		if s.depth < 0 {
			return nil, mistakeError{fmt.Sprintf("the ] behind %q closes no bracket", text[:at]), "a [ before it"}
		}
	}
	switch {
	case s.quote != 0:
		return nil, mistakeError{fmt.Sprintf("the quote %c before %q is not closed", s.quote, text[s.open+1:]), "another behind it"}
	case s.depth > 0:
		return nil, mistakeError{fmt.Sprintf("the bracket [ before %q is not closed", text[s.open+1:]), "a ] behind it"}
	}
	return append(s.words, s.word.String()), nil
}

func (s *splitter) next(at int, r rune) {
	switch {
	case s.quote == 0 && isQuote(r):
		s.quote, s.open = r, at
		return
	case s.quote != 0 && r == s.quote:
		s.quote = 0
		return
	case s.quote != 0:
	case r == '[':
		if s.depth == 0 {
			s.open = at
		}
		s.depth++
	case r == ']':
		s.depth--
	case r == ',' && s.depth == 0:
		s.words = append(s.words, s.word.String())
		s.word.Reset()
		return
	}
	s.word.WriteRune(r)
}

// quote puts quotes around a value that split would not leave as it is.
func quote(text string) string {
	if words, err := split(text); err == nil && len(words) == 1 && words[0] == text {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `"'"'"`) + `"`
}
