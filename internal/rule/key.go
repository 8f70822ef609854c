package rule

import (
	"fmt"
	"strings"
)

// A kind says what a key is for.
type kind uint8

const (
	match   kind = iota // a machine must have it
	action              // a machine is told it
	control             // how the rule itself is taken
)

// A key is one key of the grammar.
type key struct {
	name   string
	kind   kind
	wanted string // what it takes, in words, for errors and the manual
	help   string
	field
}

// A field is the place in a rule that a key's value goes to.
type field struct {
	set  func(r *Rule, text string, fail failure)
	text func(r *Rule) []string // the values that set would make it of; nil: not given
}

// A failure is told which part of a value is wrong, and why.
type failure func(part string, reason error)

// keys is the grammar.
var keys = []key{
	{
		"name", control, "letters, digits, dots, hyphens and underscores",
		"Name of the rule in the log. Without it a rule goes by its number.",
		one(func(r *Rule) *string { return &r.Name }, parseName),
	},
	{
		"type", match, "SMD types separated by | such as Node|NodeBMC",
		"Type of the component.",
		words(func(r *Rule) *[]string { return &r.Types }),
	},
	{
		"id", match, "xnames separated by | such as x3000c0s0b0n0",
		"Xname of the component.",
		list(func(r *Rule) *[]string { return &r.IDs }, parseID),
	},
	{
		"id_set", match, "bracket lists separated by | such as x3000c0s[0-3,7,10-12]b0n[0-1]",
		"Bracket lists that the xname is in. Leading zeros in brackets set a least number of digits.",
		field{setIDSets, func(r *Rule) []string { return alternatives(r.IDSets, same) }},
	},
	{
		"subnet", match, "networks in CIDR notation separated by |",
		"Networks of both families that the address being given lies in.",
		list(func(r *Rule) *[]prefix { return &r.Subnets }, parsePrefix),
	},
	{
		"role", match, "SMD roles separated by | such as Compute|Service",
		"Role of the component.",
		words(func(r *Rule) *[]string { return &r.Roles }),
	},
	{
		"subrole", match, "SMD sub-roles separated by | such as Worker",
		"Sub-role of the component.",
		words(func(r *Rule) *[]string { return &r.SubRoles }),
	},
	{
		"class", match, "SMD classes separated by | such as River|Mountain",
		"Class of the component.",
		words(func(r *Rule) *[]string { return &r.Classes }),
	},
	{
		"arch", match, "SMD architectures separated by | such as X86|ARM",
		"Architecture of the component as SMD has it.",
		words(func(r *Rule) *[]string { return &r.Archs }),
	},
	{
		"state", match, "SMD states separated by | such as Ready|On",
		"State of the component.",
		words(func(r *Rule) *[]string { return &r.States }),
	},
	{
		"mac", match, "MAC addresses or their first octets separated by | such as 02:00:00",
		"MAC address of the interface, or its first octets.",
		list(func(r *Rule) *[]MACs { return &r.MACs }, parseMACs),
	},
	{
		"giaddr", match, "addresses or networks in CIDR notation separated by |",
		"Address of the relay.",
		listOf(func(r *Rule) *[]prefix { return &r.Giaddrs }, parseGiaddr, giaddrText),
	},
	{
		"bootarch", match, "numbers from 0 to 65535 separated by | such as 7|9",
		"Architectures of the boot client (option 93). One that the client names is enough.",
		list(func(r *Rule) *[]uint16 { return &r.BootArchs }, parseBootArch),
	},
	{
		"hostname", action, "a host name in which " + strings.Join(placeholders, " ") + " may stand",
		"Host name.",
		one(func(r *Rule) *string { return &r.Hostname }, parseHostname),
	},
	{
		"domain", action, "a domain name such as cluster.example.org",
		"Domain of the rule.",
		one(func(r *Rule) *string { return &r.Domain }, parseDomain),
	},
	{
		"domain_append", action, "global, rule, global|rule, rule|global or none",
		"Domains that are appended to the host name, in this order. Without it that of the rule if there is one, else the global one.",
		one(func(r *Rule) *Append { return &r.Append }, func(text string) (Append, error) { return oneOf(appends, text) }),
	},
	{
		"routers", action, "IPv4 addresses separated by |",
		"Routers.",
		list(func(r *Rule) *[]addr { return &r.Routers }, parseAddr4),
	},
	{
		"netmask", action, "a mask such as 255.255.255.0",
		"Mask. Without one that of the `subnet` that holds the address.",
		field{func(r *Rule, text string, fail failure) { put1(&r.Mask, text, parseNetmask, fail) }, netmaskText},
	},
	{
		"cidr", action, "a prefix length such as 24, /24 or 192.0.2.0/24",
		"Another way to say `netmask`.",
		field{func(r *Rule, text string, fail failure) { put1(&r.Mask, text, parseBits, fail) }, func(*Rule) []string { return nil }},
	},
	{
		"dns", action, "addresses separated by |",
		"Name servers of both families.",
		list(func(r *Rule) *[]addr { return &r.DNS }, parseAddr),
	},
	{
		"ntp", action, "addresses separated by |",
		"Time servers of both families.",
		list(func(r *Rule) *[]addr { return &r.NTP }, parseAddr),
	},
	{
		"mtu", action, "a number from 68 to 65535",
		"MTU of the interface.",
		one(func(r *Rule) *uint16 { return &r.MTU }, parseMTU),
	},
	{
		"search", action, "domain names separated by |",
		"Domains that short names are looked up in.",
		list(func(r *Rule) *[]string { return &r.Search }, parseDomain),
	},
	{
		"lease_time", action, "a duration of whole seconds, at least 1s, such as 90s, 5m or 1h",
		"Lease time.",
		one(func(r *Rule) *seconds { return &r.LeaseTime }, parseLeaseTime),
	},
	{
		"next_server", action, "an IPv4 address",
		"Server that the loader comes from.",
		one(func(r *Rule) *addr { return &r.NextServer }, parseAddr4),
	},
	{
		"bootfile", action, "a file name of at most 127 octets",
		"Loader, in place of that of the architecture.",
		one(func(r *Rule) *string { return &r.Bootfile }, parseBootfile),
	},
	{
		"script", action, "a URL that begins with http:// or https://",
		"Boot script for iPXE, in place of that of `ipxe_uri` or `ipxe_base_uri`.",
		one(func(r *Rule) *string { return &r.Script }, parseScript),
	},
	{
		"option", action, "CODE=VALUE, a code from 1 to 254 and a text or 0x and hexadecimal digits",
		"A DHCPv4 option that has no key of its own. May be given for several codes.",
		options(func(r *Rule) *[]Option { return &r.Options4 }, family4),
	},
	{
		"option6", action, "CODE=VALUE, a code from 1 to 65535 and a text or 0x and hexadecimal digits",
		"The same for DHCPv6.",
		options(func(r *Rule) *[]Option { return &r.Options6 }, family6),
	},
	{
		"ignore", action, "true or false",
		"Whether the machine gets no answer.",
		flag(func(r *Rule) *bool { return &r.Ignore }),
	},
	{
		"continue", control, "true or false",
		"Whether later rules are looked at as well. What they say replaces what this one says, key by key.",
		flag(func(r *Rule) *bool { return &r.Continue }),
	},
	{
		"log", control, "info, debug or none",
		"How a machine that the rule matches is logged, in place of `rule_log`.",
		one(func(r *Rule) *Level { return &r.Log }, ParseLevel),
	},
}

// put1 puts a value into its place if it can be read.
func put1[T any](to *T, text string, parse func(string) (T, error), fail failure) {
	v, err := parse(text)
	if err != nil {
		fail(text, err)
		return
	}
	*to = v
}

// one is a key with a single value. The zero value means that it is not given.
func one[T comparable](at func(*Rule) *T, parse func(string) (T, error)) field {
	return field{
		set: func(r *Rule, text string, fail failure) { put1(at(r), text, parse, fail) },
		text: func(r *Rule) []string {
			var zero T
			if *at(r) == zero {
				return nil
			}
			return []string{fmt.Sprint(*at(r))}
		},
	}
}

// list is a key with alternatives separated by |.
func list[T any](at func(*Rule) *[]T, parse func(string) (T, error)) field {
	return listOf(at, parse, func(v T) string { return fmt.Sprint(v) })
}

func listOf[T any](at func(*Rule) *[]T, parse func(string) (T, error), write func(T) string) field {
	return field{
		set: func(r *Rule, text string, fail failure) {
			for part := range strings.SplitSeq(text, "|") {
				if part == "" {
					fail(text, errEmpty)
					return
				}
				v, err := parse(part)
				if err != nil {
					fail(part, err)
					continue
				}
				*at(r) = append(*at(r), v)
			}
		},
		text: func(r *Rule) []string { return alternatives(*at(r), write) },
	}
}

// words is a list of words of SMD.
func words(at func(*Rule) *[]string) field {
	return list(at, parseWord)
}

// flag is a key that is true or false. False is the same as not given.
func flag(at func(*Rule) *bool) field {
	return one(at, func(text string) (bool, error) {
		return oneOf([]word[bool]{{"true", true}, {"false", false}}, text)
	})
}

func same(s string) string { return s }

// alternatives joins the values of a list; nil: there are none.
func alternatives[T any](values []T, text func(T) string) []string {
	if len(values) == 0 {
		return nil
	}
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = text(v)
	}
	return []string{strings.Join(all, "|")}
}

// keyNamed returns the key of a name; nil: there is none.
func keyNamed(name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

// Table prints the keys as Markdown tables of a manual page: those that a
// machine must match, and those that say what it is told.
func Table() string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`)
	for _, part := range []struct {
		head string
		of   func(kind) bool
	}{
		{"| match key | value | meaning |", func(k kind) bool { return k == match }},
		{"\n| action key | value | meaning |", func(k kind) bool { return k == action }},
		{"\n| other key | value | meaning |", func(k kind) bool { return k == control }},
	} {
		b.WriteString(part.head + "\n|---|---|---|\n")
		for _, k := range keys {
			if part.of(k.kind) {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, cell.Replace(k.wanted), cell.Replace(k.help))
			}
		}
	}
	return b.String()
}
