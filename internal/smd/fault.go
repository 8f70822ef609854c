package smd

// A Kind is what a fault is about. It is a word for metrics and commands.
type Kind string

// The kinds of faults.
const (
	BadRecord     Kind = "record"            // it cannot be read
	BadMAC        Kind = "mac-invalid"       // no MAC address of a machine
	TwiceMAC      Kind = "mac-twice"         // on two interfaces
	NoComponent   Kind = "component-missing" // an interface of no component
	BadNID        Kind = "nid-invalid"       // no number
	TwiceNID      Kind = "nid-twice"         // two nodes have one
	TwiceName     Kind = "name-twice"        // two machines get one host name
	SharedName    Kind = "name-shared"       // two interfaces of one machine do; only the first is told
	BadAddress    Kind = "address-invalid"   // no address of a machine
	NoAddress     Kind = "address-missing"   // no usable address at all
	SharedAddress Kind = "address-twice"     // on two interfaces
	TakenAddress  Kind = "address-reserved"  // of a pool, or the server's own
)

// Kinds are all kinds of faults, for tables with a row each.
func Kinds() []Kind {
	return []Kind{
		BadRecord, BadMAC, TwiceMAC, NoComponent, BadNID, TwiceNID, TwiceName, SharedName,
		BadAddress, NoAddress, SharedAddress, TakenAddress,
	}
}

// A Fault is something in the inventory that was set aside or is doubtful.
type Fault struct {
	Kind   Kind
	MAC    string // as SMD has it
	ID     string // xname, or empty
	Reason string
}

func (f Fault) String() string {
	switch {
	case f.MAC == "":
		return f.ID + ": " + f.Reason
	case f.ID == "":
		return f.MAC + ": " + f.Reason
	}
	return f.MAC + " (" + f.ID + "): " + f.Reason
}

// added returns the faults that old does not hold.
func added(faults, old []Fault) []Fault {
	known := make(map[Fault]bool, len(old))
	for _, f := range old {
		known[f] = true
	}
	var fresh []Fault
	for _, f := range faults {
		if !known[f] {
			fresh = append(fresh, f)
		}
	}
	return fresh
}
