// Package args turns the argument words of a CoreDHCP directive into typed
// options. An option is declared once; the same declaration parses, validates,
// prints the option table of the manual and is named by a positional form.
//
// CoreDHCP splits a directive at white space: values hold no spaces and there
// is no quoting. Words between /* and */ are comments, and the two characters
// "" or ” stand for an empty value.
package args

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An Option is one option of a directive.
type Option struct {
	Name     string
	Value    Value
	Default  string // as an administrator would write it; empty: none
	Required bool
	Repeat   bool // may be given more than once
	Help     string
}

// Options are the options of a directive in the order of its manual.
type Options []Option

// A Form is a positional form: the names of the options its words stand for.
// Forms of one directive differ in length.
type Form []string

// An Error is one mistake in a directive.
type Error struct {
	Arg    int    // place among the words that are not comments, from 1; 0: no word to point at
	Text   string // the word as written
	Reason string // what was wrong and what was wanted
}

func (e Error) Error() string {
	if e.Arg == 0 {
		return e.Reason
	}
	return fmt.Sprintf("argument %d %q: %s", e.Arg, e.Text, e.Reason)
}

// Errors are all mistakes of one directive.
type Errors []Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// keyValue decides the form of a directive from its first word.
var keyValue = regexp.MustCompile(`^[a-z0-9_]+=`)

// Given says what a directive held.
type Given struct {
	Form   Form            // the positional form that was used; nil: key=value words
	Set    map[string]bool // the options that were given a text, right or wrong
	Unread bool            // the words could not be told apart; what is missing is unknown
}

// Parse reads the words of a directive into the values of the options. The
// error, if any, is of type Errors and holds every mistake.
func (o Options) Parse(words []string, forms ...Form) (Given, error) {
	p := parse{options: o, given: make(map[string]bool), filled: make(map[string]bool)}
	p.defaults()
	words, _, closed := Uncomment(words)
	if !closed {
		p.fail(0, "", "a comment that /* opens is not closed; wanted */ behind it")
		p.unread = true
	}
	var form Form
	if len(words) == 0 || keyValue.MatchString(words[0]) {
		p.keyValues(words)
	} else {
		form = p.positional(words, forms)
	}
	p.required(form)
	given := Given{form, p.filled, p.unread}
	if len(p.errs) > 0 {
		return given, p.errs
	}
	return given, nil
}

// A parse is one reading of one directive.
type parse struct {
	options Options
	given   map[string]bool // named, perhaps with an empty text
	filled  map[string]bool // given a text
	unread  bool            // the words could not be told apart
	errs    Errors
}

func (p *parse) fail(arg int, text, format string, a ...any) {
	p.errs = append(p.errs, Error{arg, text, fmt.Sprintf(format, a...)})
}

func (p *parse) defaults() {
	for _, o := range p.options {
		if o.Default == "" {
			continue
		}
		if err := o.Value.set(o.Default); err != nil {
			panic(fmt.Sprintf("default of %s: %v", o.Name, err))
		}
	}
}

// Uncomment takes the comments out. A word may hold text before and behind a
// comment. It returns what is kept, the place of each among all words, and
// whether the last comment is closed.
func Uncomment(words []string) (kept []string, places []int, closed bool) {
	inside := false
	for i, word := range words {
		text := ""
		for rest := word; rest != ""; {
			mark := "/*"
			if inside {
				mark = "*/"
			}
			before, after, found := strings.Cut(rest, mark)
			if !inside {
				text += before
			}
			if found {
				inside = !inside
			}
			rest = after
		}
		if text != "" {
			kept, places = append(kept, text), append(places, i)
		}
	}
	return kept, places, !inside
}

func (p *parse) keyValues(words []string) {
	for i, word := range words {
		name, text, found := strings.Cut(word, "=")
		if !found {
			p.fail(i+1, word, "wanted key=value, as the first word has it")
			continue
		}
		option, known := p.options.find(name)
		if !known {
			p.fail(i+1, word, "unknown key %q; %s", name, Suggest(name, p.options.names()))
			continue
		}
		if p.given[name] && !option.Repeat {
			p.fail(i+1, word, "%s is given twice", name)
			continue
		}
		p.set(i+1, word, option, text)
	}
}

func (p *parse) positional(words []string, forms []Form) Form {
	at := slices.IndexFunc(forms, func(f Form) bool { return len(f) == len(words) })
	if at < 0 {
		p.unread = true
		p.fail(0, "", "%d words; wanted key=value words or %s", len(words), describe(forms))
		return nil
	}
	for i, name := range forms[at] {
		option, _ := p.options.find(name)
		p.set(i+1, words[i], option, words[i])
	}
	return forms[at]
}

// set gives one option its text. An empty text means that it is not set.
func (p *parse) set(arg int, word string, option Option, text string) {
	p.given[option.Name] = true
	if text == `""` || text == `''` {
		text = ""
	}
	if text == "" {
		if option.Required {
			p.fail(arg, word, "%s is empty; wanted %s", option.Name, option.Value.Wanted)
		}
		return
	}
	p.filled[option.Name] = true
	if err := option.Value.set(text); err != nil {
		for _, reason := range option.Value.reasons(err) {
			p.fail(arg, word, "%s: %s", option.Name, reason)
		}
	}
}

func (p *parse) required(form Form) {
	if p.unread {
		return
	}
	for _, o := range p.options {
		if o.Required && !p.given[o.Name] && (form == nil || !slices.Contains(form, o.Name)) {
			p.fail(0, "", "%s is missing; wanted %s", o.Name, o.Value.Wanted)
		}
	}
}

func (o Options) find(name string) (Option, bool) {
	i := slices.IndexFunc(o, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return o[i], true
}

func (o Options) names() []string {
	names := make([]string, len(o))
	for i, option := range o {
		names[i] = option.Name
	}
	return names
}

// Suggest names the known word that a word was most likely meant to be, or all.
func Suggest(word string, known []string) string {
	best, least := "", len(word)/3+2
	for _, name := range known {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "wanted one of " + strings.Join(known, ", ")
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func describe(forms []Form) string {
	lines := make([]string, len(forms))
	for i, f := range forms {
		lines[i] = fmt.Sprintf("the %d words %s", len(f), strings.ToUpper(strings.Join(f, " ")))
	}
	return strings.Join(lines, " or ")
}

// Table prints the options as the Markdown table of a manual page.
func (o Options) Table() string {
	var b strings.Builder
	b.WriteString("| option | value | default | meaning |\n|---|---|---|---|\n")
	for _, option := range o {
		fallback := option.Default
		if option.Required {
			fallback = "required"
		}
		help := option.Help
		if option.Repeat {
			help += " May be given more than once."
		}
		cell := strings.NewReplacer("|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", option.Name, cell.Replace(option.Value.Wanted), fallback, cell.Replace(help))
	}
	return b.String()
}
