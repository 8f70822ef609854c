package args

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a directive with an option of each kind.
type sample struct {
	base  *url.URL
	valid time.Duration
	lease time.Duration
	port  uint16
	one   bool
	tftp  bool
	dir   string
	name  string
	list  []string
}

func (s *sample) options() Options {
	return Options{
		{Name: "base", Value: URL(&s.base, "http", "https", "file"), Required: true, Help: "Base URL."},
		{Name: "cache_valid", Value: Duration(&s.valid), Default: "30s", Help: "Time."},
		{Name: "lease_time", Value: LeaseTime(&s.lease), Default: "1h", Help: "Lease."},
		{Name: "port", Value: Port(&s.port), Default: "69", Help: "Port."},
		{Name: "single", Value: Bool(&s.one), Default: "false", Help: "One."},
		{Name: "tftp", Value: Switch(&s.tftp), Default: "on", Help: "TFTP."},
		{Name: "dir", Value: String(&s.dir, "a folder"), Help: "Folder."},
		{Name: "domain", Value: Domain(&s.name), Help: "Domain."},
		{Name: "word", Value: List(&s.list, "a word", func(t string) (string, error) { return t, nil }), Repeat: true, Help: "Words."},
	}
}

var sampleForms = []Form{{"base", "cache_valid"}, {"base", "cache_valid", "dir"}}

func TestParse(t *testing.T) {
	t.Parallel()
	http := &url.URL{Scheme: "http", Host: "smd:27779"}
	defaults := sample{valid: 30 * time.Second, lease: time.Hour, port: 69, tftp: true}
	with := func(change func(*sample)) sample {
		s := defaults
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		words string
		want  sample
		form  Form
	}{
		"defaults":      {"base=http://smd:27779", with(func(s *sample) { s.base = http }), nil},
		"all":           {"base=http://smd:27779 cache_valid=1m lease_time=90m port=6969 single=true tftp=off dir=/x domain=example.org word=a word=b", sample{http, time.Minute, 90 * time.Minute, 6969, true, false, "/x", "example.org", []string{"a", "b"}}, nil},
		"file URL":      {"base=file:///srv/inventory", with(func(s *sample) { s.base = &url.URL{Scheme: "file", Path: "/srv/inventory"} }), nil},
		"value holds =": {"base=http://smd:27779/?a=b", with(func(s *sample) { s.base = &url.URL{Scheme: "http", Host: "smd:27779", Path: "/", RawQuery: "a=b"} }), nil},
		"empty values":  {`base=http://smd:27779 dir= cache_valid="" domain=''`, with(func(s *sample) { s.base = http }), nil},
		"positional":    {"http://smd:27779 1m", with(func(s *sample) { s.base = http; s.valid = time.Minute }), sampleForms[0]},
		"positional URL=": {"http://smd:27779/?a=b 1m", with(func(s *sample) {
			s.base = &url.URL{Scheme: "http", Host: "smd:27779", Path: "/", RawQuery: "a=b"}
			s.valid = time.Minute
		}), sampleForms[0]},
		"positional \"\"": {`http://smd:27779 "" ''`, with(func(s *sample) { s.base = http }), sampleForms[1]},
		"comments":        {"/* the base */ http://smd:27779 /*glued words*/ 1m", with(func(s *sample) { s.base = http; s.valid = time.Minute }), sampleForms[0]},
		"glued to values": {"/*base*/http://smd:27779 1m/*how long*/", with(func(s *sample) { s.base = http; s.valid = time.Minute }), sampleForms[0]},
		"comment decides": {"/* a=b */ base=http://smd:27779", with(func(s *sample) { s.base = http }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got sample
			given, err := got.options().Parse(strings.Fields(c.words), sampleForms...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(sample{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.form, given.Form); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ words, want string }{
		"nothing":        {"", `base is missing; wanted a URL that begins with http:// or https:// or file://`},
		"empty required": {"base=", `argument 1 "base=": base is empty; wanted a URL that begins with http:// or https:// or file://`},
		"several at once": {"base=ftp://smd cache_valid=0 lease_time=-5s port=0 single=yes tftp=1", `argument 1 "base=ftp://smd": base: scheme "ftp"; wanted a URL that begins with http:// or https:// or file://
argument 2 "cache_valid=0": cache_valid: too short; wanted a duration of at least 1s such as 30s, 5m or 1h
argument 3 "lease_time=-5s": lease_time: too short; wanted a duration of at least 1s such as 30s, 5m or 1h
argument 4 "port=0": port: not a port; wanted a port from 1 to 65535
argument 5 "single=yes": single: not understood; wanted true or false
argument 6 "tftp=1": tftp: not understood; wanted on or off`},
		"unknown key":     {"base=http://smd cache_vaild=1s", `argument 2 "cache_vaild=1s": unknown key "cache_vaild"; did you mean cache_valid?`},
		"no such key":     {"base=http://smd colour=red", `argument 2 "colour=red": unknown key "colour"; wanted one of base, cache_valid, lease_time, port, single, tftp, dir, domain, word`},
		"twice":           {"base=http://smd base=http://smd", `argument 2 "base=http://smd": base is given twice`},
		"no equals sign":  {"base=http://smd 30s", `argument 2 "30s": wanted key=value, as the first word has it`},
		"number of words": {"http://smd", `1 words; wanted key=value words or the 2 words BASE CACHE_VALID or the 3 words BASE CACHE_VALID DIR`},
		"positional":      {"smd 30 x", "argument 1 \"smd\": base: no scheme; wanted a URL that begins with http:// or https:// or file://\nargument 2 \"30\": cache_valid: not a duration; wanted a duration of at least 1s such as 30s, 5m or 1h"},
		"argument number": {"/* base */ http:///x 30s", `argument 1 "http:///x": base: no host; wanted a URL that begins with http:// or https:// or file://`},
		"open comment":    {"base=http://smd /* and so on", `a comment that /* opens is not closed; wanted */ behind it`},
		"lease too long":  {"base=http://smd lease_time=4294967295s", `argument 2 "lease_time=4294967295s": lease_time: 2^32-1 seconds or more; wanted a duration of at least 1s such as 30s, 5m or 1h`},
		"password":        {"base=http://me:secret@smd", `argument 1 "base=http://me:secret@smd": base: user or password in a URL; wanted a URL that begins with http:// or https:// or file://`},
		"file with host":  {"base=file://srv/x", `argument 1 "base=file://srv/x": base: a file URL has three slashes and a path; wanted a URL that begins with http:// or https:// or file://`},
		"domain":          {"base=http://smd domain=a_b.c", `argument 2 "domain=a_b.c": domain: label "a_b" is not letters, digits and inner hyphens; wanted a domain name such as cluster.example.org`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s sample
			_, err := s.options().Parse(strings.Fields(c.words), sampleForms...)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// pairError is a mistake in a grammar of an option's own.
type pairError struct{ text, unknown, wanted string }

func (e pairError) Error() string { return e.text }

type unknownPairError struct{ pairError }

func (e unknownPairError) Unknown() (word string, known []string) {
	return e.unknown, []string{"router", "mask"}
}

type wantingPairError struct{ pairError }

func (e wantingPairError) Wanted() string { return e.wanted }

// TestGrammarMistakes has an option with a grammar of its own: each mistake in
// its value is told by itself, a key it does not know with the nearest.
func TestGrammarMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"plain":         {errors.New("not a pair"), `argument 1 "pair=x": pair: not a pair; wanted KEY:VALUE`},
		"near a key":    {unknownPairError{pairError{text: "unknown key \"ruter\"", unknown: "ruter"}}, `argument 1 "pair=x": pair: unknown key "ruter"; did you mean router?`},
		"near none":     {unknownPairError{pairError{text: "unknown key \"colour\"", unknown: "colour"}}, `argument 1 "pair=x": pair: unknown key "colour"; wanted one of router, mask`},
		"says itself":   {wantingPairError{pairError{text: "mask 300; wanted a mask", wanted: "a mask"}}, `argument 1 "pair=x": pair: mask 300; wanted a mask`},
		"says it, deep": {fmt.Errorf("pair 2: %w", wantingPairError{pairError{text: "mask 300; wanted a mask"}}), `argument 1 "pair=x": pair: pair 2: mask 300; wanted a mask`},
		"several": {errors.Join(
			errors.Join(unknownPairError{pairError{text: "unknown key \"maks\"", unknown: "maks"}}, errors.New("not a pair")),
			wantingPairError{pairError{text: "mask 300; wanted a mask"}},
		), `argument 1 "pair=x": pair: unknown key "maks"; did you mean mask?
argument 1 "pair=x": pair: not a pair; wanted KEY:VALUE
argument 1 "pair=x": pair: mask 300; wanted a mask`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var one string
			var list []string
			parse := func(string) (string, error) { return "", c.err }
			for _, value := range []Value{Of(&one, "KEY:VALUE", parse), List(&list, "KEY:VALUE", parse)} {
				_, err := Options{{Name: "pair", Value: value}}.Parse([]string{"pair=x"})
				if err == nil {
					t.Fatal("no error")
				}
				if diff := cmp.Diff(c.want, err.Error()); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
			}
			if len(list) > 0 {
				t.Errorf("a wrong value was taken: %q", list)
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var s sample
	want := "| option | value | default | meaning |\n|---|---|---|---|\n" +
		"| `base` | a URL that begins with http:// or https:// or file:// | required | Base URL. |\n"
	if got := s.options()[:1].Table(); got != want {
		t.Errorf("got %s", got)
	}
}

// FuzzParse has any words: no panic, and what was accepted as key=value is
// accepted again with comments before and behind it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"base=http://smd", "http://smd 30s", "/* a */ http://smd 1m x", "base=http://smd /*", "*/ base=x", `base="" cache_valid=''`,
		"base=http://smd word=a word=b domain=x.y", "/**/", "/*/ x", "=", "a==b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Fields(text)
		var first, second sample
		given, err := first.options().Parse(words, sampleForms...)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without text")
			}
			return
		}
		commented := slices.Concat([]string{"/*x*/", "/*", "a=b", "*/"}, words, []string{"/*", "x*/"})
		again, err := second.options().Parse(commented, sampleForms...)
		if err != nil {
			t.Fatalf("with comments: %v", err)
		}
		if diff := cmp.Diff(first, second, cmp.AllowUnexported(sample{}), cmp.AllowUnexported(url.Userinfo{})); diff != "" {
			t.Errorf("with comments (-without +with):\n%s", diff)
		}
		if diff := cmp.Diff(given, again); diff != "" {
			t.Errorf("form with comments (-without +with):\n%s", diff)
		}
	})
}
