package coresmd

import (
	"os"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/sirupsen/logrus"
)

// An inventoryReport tells of looks at SMD: once for each change of state.
type inventoryReport struct {
	log      *logrus.Entry
	process  *process.Process
	metrics  *metrics
	source   string
	status   func() smd.Status
	failing  bool      // the last poll failed; written by one poll at a time
	doubting smd.Doubt // the last one that was told; zero: none
	mute     process.Limit
	unsaved  string // why the last snapshot was not written
}

// mostFaults bounds the lines about faults of one poll.
const mostFaults = 50

func (r *inventoryReport) poll(p smd.Poll) {
	r.process.StrangersUnknown.Store(!p.State.TellsStrangers())
	r.metrics.polls[p.Outcome].Inc()
	r.metrics.pollTime[p.Outcome].Observe(p.Took.Seconds())
	r.failure(p)
	r.doubt(p)
	r.snapshot(p)
	if p.Changed {
		r.log.Infof("inventory of %s: %d machines, %d faults", r.source, p.Machines, p.Faults)
	}
	for i, f := range p.NewFaults {
		if i == mostFaults {
			r.log.Warnf("inventory: and %d more faults", len(p.NewFaults)-i)
			break
		}
		r.log.Warnf("inventory: %v", f)
	}
}

// restored tells of the snapshot that serves until SMD is heard. It returns
// false if there is none.
func (r *inventoryReport) restored(err error) bool {
	now := r.status()
	switch {
	case err != nil:
		r.log.Errorf("%v: set aside, SMD has to be heard first", err)
		return false
	case now.State != smd.FromSnapshot:
		return false
	}
	r.log.Warnf("serving %d machines from the snapshot of %s, %v old, until SMD is heard",
		now.Machines, now.Loaded.Format(time.RFC3339), time.Since(now.Loaded).Truncate(time.Second))
	return true
}

// snapshot tells of a snapshot that could not be written, once for each
// reason.
func (r *inventoryReport) snapshot(p smd.Poll) {
	if p.Unsaved == nil || p.Unsaved.Error() == r.unsaved {
		return
	}
	r.unsaved = p.Unsaved.Error()
	r.log.Errorf("%v", p.Unsaved)
}

// failure tells when SMD goes away and comes back.
func (r *inventoryReport) failure(p smd.Poll) {
	switch {
	case p.Err != nil && r.process.Context().Err() != nil:
		return // the end of the process, not SMD's
	case p.Err != nil && r.failing:
		r.log.Debugf("inventory not refreshed: %v", p.Err)
	case p.Err != nil && p.State == smd.NeverLoaded:
		r.log.Errorf("no inventory yet, machines of SMD are strangers until there is one: %v", p.Err)
	case p.Err != nil:
		loaded := r.status().Loaded
		r.log.Errorf("inventory not refreshed, that of %s with %d machines goes on: %v", loaded.Format(time.RFC3339), p.Machines, p.Err)
	case r.failing:
		r.log.Infof("%s answers again", r.source)
	}
	r.failing = p.Err != nil
}

// doubt tells of an answer that is not believed, once for as long as SMD says
// the same.
func (r *inventoryReport) doubt(p smd.Poll) {
	switch {
	case p.Outcome == smd.Failed:
		return
	case p.Outcome != smd.Doubted:
		if r.doubting.Before > 0 {
			r.log.Infof("inventory of %s is believed again: %d machines", r.source, p.Machines)
		}
	case p.Doubt.Since != r.doubting.Since || p.Doubt.Machines != r.doubting.Machines:
		r.log.Errorf("%s has %d machines where %d were: not believed%s; the inventory of before serves. If it is right: kill -USR1 %d",
			r.source, p.Doubt.Machines, p.Doubt.Before, until(p.Doubt), os.Getpid())
	}
	r.doubting = p.Doubt
}

// question tells of questions about single machines: once that SMD ignores
// what it is asked for, and once a minute that it did not answer.
func (r *inventoryReport) question(q smd.Question) {
	switch {
	case q.Unfiltered:
		r.log.Warnf("%s ignores ?MACAddress= and sends everything: it is no longer asked for single machines, new ones are known after cache_valid", r.source)
	case q.Err != nil && r.mute.Allow(time.Now()):
		r.log.Warnf("%s was asked for %d machines that the inventory lacks: %v", r.source, q.Asked, q.Err)
	case q.Found > 0:
		r.log.Infof("%s has %d of %d machines that the inventory lacked", r.source, q.Found, q.Asked)
	}
}

// until says for how long an answer is not believed.
func until(d smd.Doubt) string {
	if d.Until.IsZero() {
		return " without a human"
	}
	return " before " + d.Until.Format(time.RFC3339)
}
