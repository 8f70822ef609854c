package smd

// A State is how far the inventory can be relied upon.
type State uint8

// The states of an inventory.
const (
	NeverLoaded  State = iota // there is none
	FromSnapshot              // that of an earlier run; SMD has not been heard since
	InDoubt                   // SMD's last answer lost too much to be believed, the one before serves
	Stale                     // SMD could not be read last time
	Fresh                     // SMD's last answer
)

var stateNames = [...]string{
	NeverLoaded: "never loaded", FromSnapshot: "from snapshot", InDoubt: "in doubt", Stale: "stale", Fresh: "fresh",
}

func (s State) String() string { return stateNames[s] }

// States are all states, for tables with a row each.
func States() []State {
	all := make([]State, len(stateNames))
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// TellsStrangers says that a machine that the inventory lacks is a stranger.
// Without it, that machine may be one of SMD's.
func (s State) TellsStrangers() bool { return s > FromSnapshot }
