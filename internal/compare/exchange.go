package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Results of an exchange.
const (
	Same          = "same"            // both answer alike, or both are rightly silent
	Identity      = "same but server" // alike but for which server it is
	Different     = "different"
	IncumbentOnly = "incumbent only" // the other one would be silent
	OursOnly      = "ours only"      // the incumbent is silent
	Nobody        = "nobody"         // both are silent
	Unfinished    = "unfinished"     // the incumbent's answer was not awaited
)

// An Exchange is a request, what the incumbent servers answered, and what we
// would have answered.
type Exchange struct {
	Time      time.Time `json:"time"` // of the request
	Interface string    `json:"interface,omitempty"`
	Client    string    `json:"client"`         // its MAC address; of DHCPv6 without one its DUID
	DUID      string    `json:"duid,omitempty"` // of DHCPv6
	ID        string    `json:"id,omitempty"`
	Hostname  string    `json:"hostname,omitempty"` // that it calls itself
	Message   string    `json:"message"`
	State     string    `json:"state,omitempty"` // of DHCPv4 (RFC 2131 section 4.4)
	XID       string    `json:"xid"`
	Relay     string    `json:"relay,omitempty"` // by which its network is named
	Times     int       `json:"times"`           // that it was sent
	Replies   []Reply   `json:"replies"`         // one for each server that answered
	Ours      Reply     `json:"ours"`
	Result    string    `json:"result"`
}

// A Reply is what a server answers to a request.
type Reply struct {
	Server      string       `json:"server,omitempty"` // its identifier; ours has none where there is no reply
	Answer      string       `json:"answer"`           // OFFER, ACK, NAK, ADVERTISE, REPLY, or no reply
	Address     string       `json:"address,omitempty"`
	Plugin      string       `json:"plugin,omitempty"` // of ours: who decided it
	Reason      string       `json:"reason,omitempty"` // of ours
	Parts       []Part       `json:"parts,omitempty"`
	Differences []Difference `json:"differences,omitempty"` // of the incumbent's: from it to ours
}

// noReply is the answer that is none.
const noReply = "no reply"

// silent says that there is no reply.
func (r *Reply) silent() bool { return r.Parts == nil }

// judge finds what differs, and the result.
func (x *Exchange) judge(finished bool) {
	switch {
	case len(x.Replies) == 0 && x.Ours.silent() && unanswered[x.Message]:
		x.Result = Same
	case len(x.Replies) == 0 && !finished:
		x.Result = Unfinished
	case len(x.Replies) == 0 && x.Ours.silent():
		x.Result = Nobody
	case len(x.Replies) == 0:
		x.Result = OursOnly
	case x.Ours.silent():
		x.Result = IncumbentOnly
	default:
		x.Result = x.against()
	}
}

// unanswered are the messages of DHCPv4 that no server replies to.
var unanswered = map[string]bool{"RELEASE": true, "DECLINE": true}

// against holds each incumbent's reply against ours. Two that both answer may
// differ: what is not like ours counts.
func (x *Exchange) against() string {
	result := Same
	for i := range x.Replies {
		r := &x.Replies[i]
		r.Differences = between(r.Parts, x.Ours.Parts)
		switch {
		case len(r.Differences) == 0:
		case r.identity(x.Ours.Parts):
			if result == Same {
				result = Identity
			}
		default:
			result = Different
		}
	}
	return result
}

// between returns what differs between two replies. Where one refuses and the
// other does not, that is all.
func between(incumbent, ours []Part) []Difference {
	all := Differences(incumbent, ours)
	for _, d := range all {
		if d.Part == partKind4 || d.Part == partKind6 {
			return []Difference{d}
		}
	}
	return all
}

// Labels of parts that are looked at.
const (
	partKind4   = "53 DHCP Message Type"
	partKind6   = "message"
	partServer4 = "54 Server Identifier"
	partServer6 = "2 Server ID"
)

// identity says that a reply differs from ours in nothing but which server it
// is from: its identifier, and its address as the next server.
func (r *Reply) identity(ours []Part) bool {
	theirs, own := find(r.Parts, partServer4), find(ours, partServer4)
	return !slices.ContainsFunc(r.Differences, func(d Difference) bool {
		switch d.Part {
		case partServer4, partServer6:
			return false
		case "siaddr":
			return d.Old != theirs || d.New != own
		}
		return true
	})
}

// find returns the value of a part; empty: there is none.
func find(parts []Part, label string) string {
	for _, p := range parts {
		if p.Label() == label {
			return p.Value
		}
	}
	return ""
}

// Text writes an exchange as people read it: a line, and where the answers
// differ more lines behind it.
func (x *Exchange) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", x.Time.Local().Format(time.DateTime), x.head(), x.verdict())
	if x.Result == Same || x.Result == Identity || x.Result == Nobody && x.Ours.Reason == "" {
		return b.String()
	}
	for i := range x.Replies {
		r := &x.Replies[i]
		fmt.Fprintf(&b, "    %s: %s\n", r.Server, r.says())
		for _, d := range r.Differences {
			fmt.Fprintf(&b, "        %s: %s -> %s\n", d.Part, orNothing(d.Old), orNothing(d.New))
		}
	}
	fmt.Fprintf(&b, "    we: %s\n", x.Ours.says())
	return b.String()
}

// head names the request.
func (x *Exchange) head() string {
	words := []string{join(" ", x.Who(), x.Message)}
	if x.State != "" && !strings.EqualFold(x.State, x.Message) {
		words[0] += " (" + x.State + ")"
	}
	if x.Relay != "" {
		words = append(words, "relay "+x.Relay)
	}
	if x.Times > 1 {
		words = append(words, fmt.Sprintf("%d times", x.Times))
	}
	return strings.Join(words, ", ")
}

// Who names the client.
func (x *Exchange) Who() string { return join(" ", x.ID, x.Client, x.Hostname) }

// verdict says in a line what came of an exchange.
func (x *Exchange) verdict() string {
	several := ""
	if len(x.Replies) > 1 {
		several = fmt.Sprintf(", %d servers answered", len(x.Replies))
	}
	switch x.Result {
	case Same:
		return "same, " + x.Ours.short() + several
	case Identity:
		var labels []string
		for _, r := range x.Replies {
			for _, d := range r.Differences {
				if !slices.Contains(labels, d.Part) {
					labels = append(labels, d.Part)
				}
			}
		}
		return "same, " + x.Ours.short() + ", but for " + strings.Join(labels, " and ") + several
	}
	return x.Result + several
}

// short is an answer without who decided it.
func (r *Reply) short() string {
	if r.Address == "" {
		return r.Answer
	}
	return r.Answer + " of " + r.Address
}

// says is an answer with who decided it and why.
func (r *Reply) says() string {
	text := r.short()
	if r.Plugin != "" {
		text += " by " + r.Plugin
	}
	return join(": ", text, r.Reason)
}

// join joins what is not empty.
func join(between string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), between)
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}
