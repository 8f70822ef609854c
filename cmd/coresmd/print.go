package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// print writes an answer in the format that was asked for; table writes the one
// for people.
func (e *env) print(answer any, table func(*page)) error {
	var text []byte
	var err error
	switch e.format {
	case "json":
		text, err = jsonOf(answer)
	case "yaml":
		text, err = yamlOf(answer)
	default:
		p := &page{colour: e.terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"}
		table(p)
		text = p.text.Bytes()
	}
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(text)
	return err
}

func jsonOf(answer any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(answer)
	return text.Bytes(), err
}

// yamlOf writes what jsonOf does, the same names in the same order. JSON is
// YAML, but for its looks.
func yamlOf(answer any) ([]byte, error) {
	text, err := jsonOf(answer)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	plain(&document)
	return encodeYAML(&document)
}

// mistakable are texts that readers of YAML 1.1 take for something else: truth, and
// numbers of base 60 such as MAC addresses.
var mistakable = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$|^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)

func encodeYAML(document *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// plain takes the quotes and braces of JSON away; the encoder puts quotes where
// they are needed.
func plain(n *yaml.Node) {
	if n.Tag != "!!str" || !mistakable.MatchString(n.Value) {
		n.Style = 0
	}
	for _, inner := range n.Content {
		plain(inner)
	}
}

// A page is an answer for people.
type page struct {
	text   bytes.Buffer
	colour bool
}

// Colours, as a terminal is told.
const (
	red    = "31"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

// colours are those of severities.
var colours = map[string]string{"error": red, "warning": yellow}

// put writes a piece of a line. What came from the network cannot make a
// terminal do anything.
func (p *page) put(colour, format string, args ...any) {
	text := harmless(fmt.Sprintf(format, args...))
	if !p.colour || colour == "" || text == "" {
		p.text.WriteString(text)
		return
	}
	fmt.Fprintf(&p.text, "\x1b[%sm%s\x1b[0m", colour, text)
}

func (p *page) end() { p.text.WriteByte('\n') }

// line writes a line.
func (p *page) line(format string, args ...any) {
	p.put("", format, args...)
	p.end()
}

// harmless escapes what is not printed.
func harmless(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return text
	}
	quoted := strconv.QuoteToGraphic(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// rows writes a table. The first row is its heading; the last column may be as
// long as it likes. colour picks the colour of the first cell of a row.
func (p *page) rows(colour func(first string) string, rows ...[]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(harmless(cell)))
		}
	}
	for n, row := range rows {
		last := len(row) - 1
		for last > 0 && row[last] == "" {
			last--
		}
		for i, cell := range row[:last+1] {
			paint := ""
			switch {
			case n == 0:
				paint = bold
			case i == 0:
				paint = colour(cell)
			}
			p.put(paint, "%s", cell)
			if i < last {
				p.put("", "%s", strings.Repeat(" ", 2+widths[i]-utf8.RuneCountInString(harmless(cell))))
			}
		}
		p.end()
	}
}
