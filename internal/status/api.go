// Package status is what a server tells of itself over HTTP: a listener that
// only reads, and the form of its answers. It knows neither DHCP nor SMD: what
// it tells is put in by others.
package status

import "time"

// The paths of the API. All answers are JSON but those of the first four.
const (
	PathPage     = "/"
	PathMetrics  = "/metrics"
	PathHealth   = "/healthz"
	PathReady    = "/readyz"
	PathStatus   = "/api/v1/status"
	PathExplain  = "/api/v1/explain"
	PathFaults   = "/api/v1/faults"
	PathUnknown  = "/api/v1/unknown"
	PathLeases   = "/api/v1/leases"
	PathMachines = "/api/v1/machines"
	PathBoots    = "/api/v1/boots"
	PathAnswers  = "/api/v1/answers"
	PathEvents   = "/api/v1/events"
	PathPcap     = "/api/v1/pcap" // not JSON either
)

// A Problem is the answer to a request that has none, with an HTTP status of
// 400 or more.
type Problem struct {
	Status int    `json:"status"`
	Detail string `json:"detail"` // what is wrong, and what was wanted
}

// A Status is the server as a whole.
type Status struct {
	Version   string    `json:"version"`
	Commit    string    `json:"commit"`
	Built     string    `json:"built"`
	GoVersion string    `json:"go_version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Now       time.Time `json:"now"`

	Ready    bool     `json:"ready"`
	NotReady []string `json:"not_ready,omitempty"` // why not, in words

	Inventory Inventory `json:"inventory"`
	Networks  []Network `json:"networks,omitempty"`
	Rules     []string  `json:"rules,omitempty"` // in their canonical form
	Pools     []Pool    `json:"pools,omitempty"`
	Journal   Journal   `json:"journal"`
}

// An Inventory is how the server stands with SMD.
type Inventory struct {
	Source     string     `json:"source"`           // a URL without secrets
	State      string     `json:"state"`            // fresh, stale, in doubt, from snapshot, never loaded
	Loaded     *time.Time `json:"loaded,omitempty"` // when SMD was read; absent: never
	AgeSeconds float64    `json:"age_seconds"`      // -1: never
	Machines   int        `json:"machines"`
	Faults     int        `json:"faults"`
	Doubted    bool       `json:"doubted,omitempty"` // SMD's last answer is not believed
}

// A Network is one that is declared.
type Network struct {
	Prefix  string   `json:"prefix"`
	Routers []string `json:"routers,omitempty"`
	DNS     []string `json:"dns,omitempty"`
	Mask    string   `json:"mask,omitempty"`
}

// A Pool is a range of temporary addresses and how it is used.
type Pool struct {
	Range       string `json:"range"`   // START-END
	Network     string `json:"network"` // empty: not declared
	Size        uint64 `json:"size"`
	Leased      uint64 `json:"leased"`
	Offered     uint64 `json:"offered"`
	Quarantined uint64 `json:"quarantined"`
	Taken       uint64 `json:"taken"`
}

// Used is how many addresses of a pool are not free.
func (p Pool) Used() uint64 { return p.Leased + p.Offered + p.Quarantined + p.Taken }

// A Journal is how much of what happened is remembered.
type Journal struct {
	Machines int    `json:"machines"`
	Limit    int    `json:"limit"`
	Lost     uint64 `json:"lost"` // events that were not noted since the start
}

// A Query is what Explain is asked, as the server understood it.
type Query struct {
	Machine   string `json:"machine"` // as it was asked: a MAC, an xname, an address, a host name
	Giaddr    string `json:"giaddr,omitempty"`
	Arch      string `json:"arch,omitempty"`  // option 93
	Class     string `json:"class,omitempty"` // option 60
	UserClass string `json:"user_class,omitempty"`
	Message   string `json:"message"` // DISCOVER, SOLICIT, ...
}

// An Explanation is what the server would tell a machine, and why.
type Explanation struct {
	Query Query `json:"query"`

	// Findings are what matters, the most important first: one sentence each.
	Findings []Finding `json:"findings"`

	MAC      string     `json:"mac,omitempty"` // that was explained; empty: none was found
	Known    bool       `json:"known"`         // to SMD
	Machine  *Machine   `json:"machine,omitempty"`
	Others   []Machine  `json:"others,omitempty"` // interfaces that the question also fits
	Faults   []Fault    `json:"faults,omitempty"` // of the machine
	State    Inventory  `json:"inventory"`
	Network  *Placement `json:"network,omitempty"`
	Rules    []Rule     `json:"rules,omitempty"`
	Verdict  Verdict    `json:"verdict"`
	Reply    []Option   `json:"reply,omitempty"`    // none: no reply
	Prepared string     `json:"prepared,omitempty"` // what the reply lacks, in words
	Journal  *History   `json:"journal,omitempty"`  // what the machine did lately
	Similar  []string   `json:"similar,omitempty"`  // strange MACs that differ little from those of SMD
}

// A Finding is one thing that an administrator should know.
type Finding struct {
	Severity string `json:"severity"`       // error, warning, info
	Text     string `json:"text"`           // one line
	Mend     string `json:"mend,omitempty"` // what to do about it
}

// A Machine is an interface and its component as SMD holds them.
type Machine struct {
	MAC       string   `json:"mac"`
	ID        string   `json:"id"` // the xname
	Type      string   `json:"type,omitempty"`
	NID       *uint64  `json:"nid,omitempty"`
	Addresses []string `json:"addresses"` // usable ones, in SMD's order
	NIC       int      `json:"nic"`       // place among those of the component
	Role      string   `json:"role,omitempty"`
	SubRole   string   `json:"sub_role,omitempty"`
	Class     string   `json:"class,omitempty"`
	Arch      string   `json:"arch,omitempty"`
	State     string   `json:"state,omitempty"`
	Disabled  bool     `json:"disabled,omitempty"` // Enabled is false
	Hostname  string   `json:"hostname,omitempty"` // that it gets
}

// A Placement is the network that the machine asks from.
type Placement struct {
	Prefix  string   `json:"prefix,omitempty"` // empty: no declared one
	By      string   `json:"by"`               // giaddr 192.0.2.254, receiving address 192.0.2.1, none is declared
	Routers []string `json:"routers,omitempty"`
	Address string   `json:"address,omitempty"` // the machine's there; empty: none
}

// A Rule is what became of one rule.
type Rule struct {
	Number int    `json:"number"` // from 1
	Name   string `json:"name"`
	Text   string `json:"text"`           // in its canonical form
	Result string `json:"result"`         // matched, missed, not reached
	Key    string `json:"key,omitempty"`  // the first that does not hold
	Want   string `json:"want,omitempty"` // what the rule has there
	Have   string `json:"have,omitempty"` // what the machine has there
}

// A Verdict is what became of the question.
type Verdict struct {
	Answer string `json:"answer"` // OFFER, ACK, NAK, no reply, passed on
	Plugin string `json:"plugin"` // that gave it
	Reason string `json:"reason,omitempty"`
}

// An Option is a part of a reply.
type Option struct {
	Code  int    `json:"code"` // of DHCPv4; 0: a field of the header
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A History is what a machine did lately.
type History struct {
	MAC       string    `json:"mac"`
	Known     bool      `json:"known"` // to SMD, when it was last heard
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Address   string    `json:"address,omitempty"`    // last given to it
	Giaddr    string    `json:"giaddr,omitempty"`     // of its last message
	CircuitID string    `json:"circuit_id,omitempty"` // option 82.1, as text or in hex behind 0x
	RemoteID  string    `json:"remote_id,omitempty"`  // option 82.2
	Class     string    `json:"class,omitempty"`      // option 60
	Arch      string    `json:"arch,omitempty"`       // option 93
	Hostname  string    `json:"hostname,omitempty"`   // that it calls itself, option 12
	Step      string    `json:"step,omitempty"`       // of its boot, see below
	StepSince time.Time `json:"step_since,omitzero"`
	Events    []Event   `json:"events"` // the oldest first
}

// The steps of a boot, in their order.
const (
	StepDiscover = "discover" // firmware asks, or somebody who was never given an address
	StepAck      = "ack"      // firmware has its address
	StepLoader   = "loader"   // a boot file was fetched
	StepIPXE     = "ipxe"     // iPXE asks
	StepScript   = "script"   // iPXE was given its script
	StepUp       = "up"       // what does not boot has its address: a system, a BMC
)

// Answers are what the machines of SMD are told, each of which runs the whole
// handshake as a client of one kind.
type Answers struct {
	Client  string   `json:"client"` // bios, uefi, ipxe, system
	Answers []Answer `json:"answers"`
	Total   int      `json:"total"`
}

// An Answer is the last reply of a handshake.
type Answer struct {
	MAC        string   `json:"mac"`
	ID         string   `json:"id"`
	Type       string   `json:"type,omitempty"`
	Hostname   string   `json:"hostname,omitempty"`
	Giaddr     string   `json:"giaddr,omitempty"` // the relay that it asks through
	Verdict    Verdict  `json:"verdict"`
	Address    string   `json:"address,omitempty"`
	NextServer string   `json:"next_server,omitempty"`
	Bootfile   string   `json:"bootfile,omitempty"`
	Reply      []Option `json:"reply,omitempty"`    // none: no reply
	Prepared   string   `json:"prepared,omitempty"` // what the reply lacks, in words
}

// Boots are how far the machines of SMD have come: those that are stuck
// first, the one that tries for the longest time before the others, and then
// the others, the one heard last first.
type Boots struct {
	Steps    []StepCount `json:"steps"`  // all of them, in their order
	Stuck    int         `json:"stuck"`  // machines
	Silent   int         `json:"silent"` // machines of SMD that were not heard
	Machines []Boot      `json:"machines"`
	Total    int         `json:"total"` // of machines that were heard
}

// A StepCount is how many machines are at a step.
type StepCount struct {
	Step     string `json:"step"`
	Machines int    `json:"machines"`
	Stuck    int    `json:"stuck"`
}

// A Boot is the last one of a machine.
type Boot struct {
	MAC          string     `json:"mac"`
	ID           string     `json:"id"`
	Hostname     string     `json:"hostname,omitempty"`
	Address      string     `json:"address,omitempty"` // last given to it
	Step         string     `json:"step"`
	Since        time.Time  `json:"since,omitzero"` // that it is at this step
	Last         time.Time  `json:"last"`           // that it was heard
	Steps        []BootStep `json:"steps"`          // that it came to
	Tries        int        `json:"tries"`          // boots since one came to its script, this one included
	Stuck        bool       `json:"stuck"`
	StuckSeconds float64    `json:"stuck_seconds,omitempty"` // since the first of its tries
	Hint         string     `json:"hint,omitempty"`          // what that usually means
	Mend         string     `json:"mend,omitempty"`          // what to do about it
}

// A BootStep is when a boot came to a step.
type BootStep struct {
	Step    string    `json:"step"`
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // from the step before
}

// Events are what machines did, in order. The stream of PathEvents is made of
// them.
type Events struct {
	Events  []Happening `json:"events"`
	Last    uint64      `json:"last"`     // number of the last one
	LeftOut uint64      `json:"left_out"` // that came in between and are not told
}

// A Happening is an event, and whose.
type Happening struct {
	Number   uint64 `json:"number"`
	MAC      string `json:"mac"`
	ID       string `json:"id,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Known    bool   `json:"known"`          // to SMD
	Step     string `json:"step,omitempty"` // of its boot, after the event
	Event
}

// An Event is something that a machine did, as often as it did the same.
type Event struct {
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Times    int       `json:"times"`
	Kind     string    `json:"kind"`              // exchange, tftp, http
	Plugin   string    `json:"plugin,omitempty"`  // coresmd, bootloop
	Message  string    `json:"message,omitempty"` // DISCOVER, REQUEST, ...
	State    string    `json:"state,omitempty"`   // discover, selecting, init-reboot, renewing, ...
	Verdict  string    `json:"verdict"`           // OFFER, ACK, NAK, no reply, passed on; of a transfer: sent, missing, refused, gone, busy, failed
	Reason   string    `json:"reason,omitempty"`
	Address  string    `json:"address,omitempty"`
	Bootfile string    `json:"bootfile,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Octets   int64     `json:"octets,omitempty"` // of a transfer
}

// Faults are those of the inventory, the most severe first.
type Faults struct {
	Inventory Inventory `json:"inventory"`
	Faults    []Fault   `json:"faults"`
	Total     int       `json:"total"` // of all, also of those left out
}

// A Fault is something in the inventory that was set aside or is doubtful.
type Fault struct {
	Severity string `json:"severity"` // error: a machine gets no lease; warning: it may get a wrong one
	Kind     string `json:"kind"`     // address-missing, mac-twice, ...
	MAC      string `json:"mac,omitempty"`
	ID       string `json:"id,omitempty"`
	Reason   string `json:"reason"`
	Mend     string `json:"mend"` // what to type to mend it in SMD
}

// Unknown are the machines that were heard and that SMD does not know, the one
// heard last first.
type Unknown struct {
	Machines []History `json:"machines"`
	Total    int       `json:"total"`
}

// Machines are the journal, the machine heard last first.
type Machines struct {
	Machines []History `json:"machines"` // without their events unless one is asked for
	Total    int       `json:"total"`
}

// Leases are addresses and who has them. Those of machines of SMD are known
// since the server was started or reloaded, whichever was last.
type Leases struct {
	Leases []Lease      `json:"leases"` // in the order of their addresses
	Total  int          `json:"total"`
	Counts []LeaseCount `json:"counts"` // of all that the question is about, whatever their state
	Since  time.Time    `json:"since"`  // that those of machines of SMD are known
	Pools  []Pool       `json:"pools"`
}

// The kinds of leases.
const (
	LeaseKnown     = "known"     // given by coresmd to a machine that SMD knows
	LeaseTemporary = "temporary" // given by bootloop to a stranger
)

// The states of a lease.
const (
	LeaseBound    = "bound"    // until it expires
	LeaseOffered  = "offered"  // and not taken
	LeaseExpired  = "expired"  // and not renewed
	LeaseReleased = "released" // by the machine
	LeaseDeclined = "declined" // by the machine: somebody else has the address; of a temporary one in quarantine until it expires
	LeaseRefused  = "refused"  // of a known one: SMD has another address by now
	LeaseNone     = "none"     // of a known one: SMD has the address, and none of the above happened since Leases.Since
)

// A Lease is an address and who has it, or had it last.
type Lease struct {
	Address  string    `json:"address"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Since    time.Time `json:"since,omitzero"` // that it is in this state; absent: not known, it was before a start
	MAC      string    `json:"mac"`            // empty: not known, which is so with DHCPv6 only
	ID       string    `json:"id,omitempty"`   // the xname; of a machine of SMD
	DUID     string    `json:"duid,omitempty"` // octets with colons; of DHCPv6
	IAID     string    `json:"iaid,omitempty"` // four octets in hex; of a temporary one of DHCPv6
	Expires  time.Time `json:"expires,omitzero"`
	Hostname string    `json:"hostname,omitempty"` // of a known one that it gets, of a temporary one that it calls itself
	Pool     string    `json:"pool,omitempty"`     // START-END, of a temporary one
}

// A LeaseCount is how many leases of a kind are in a state.
type LeaseCount struct {
	Kind   string `json:"kind"`
	State  string `json:"state"`
	Leases int    `json:"leases"`
}

// PublishedLeases is the name under which a plugin publishes its LeaseView.
const PublishedLeases = "leases of strangers"

// A LeaseView calls visit for all temporary leases, and returns the pools. With
// a nil visit it does the latter only.
type LeaseView func(visit func(Lease)) []Pool

// PublishedViews is the name under which a plugin that rehearses publishes its
// views by their paths, a func(string) View.
const PublishedViews = "views"
