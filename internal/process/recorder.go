package process

// A Message is one of either family.
type Message interface{ ToBytes() []byte }

// A Seen is an exchange as a plugin sees it, which is not told where it came from.
type Seen struct {
	V6      bool
	Request Message
	Reply   Message // nil: none

	Plugin, Verdict, Reason string
}

// PublishedRecorder is the name under which a Recorder is published while packets
// are recorded.
const PublishedRecorder = "recorder of plugins"

// A Recorder keeps what plugins see.
type Recorder = func(Seen)

// Recorder returns what records packets; nil: nothing does.
func (p *Process) Recorder() Recorder {
	r, _ := Find[Recorder](p, PublishedRecorder)
	return r
}

// Record tells the packet loop what a plugin decided. Where the loop records
// nothing, because it is that of CoreDHCP, r is told; nil: nobody.
func (o Origin) Record(r Recorder, s Seen) {
	switch {
	case o.Decided != nil:
		o.Decided(s.Plugin, s.Verdict, s.Reason)
	case r != nil:
		r(s)
	}
}
