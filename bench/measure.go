package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// startLimit is how long a server may take until it answers.
const startLimit = 90 * time.Second

// measure fills the ledger. A mistake in one measurement does not end the
// others.
func measure(o options, l *ledger) error {
	if err := stayOn(crowdCore); err != nil {
		return err
	}
	dir, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	return perform(dir, func(s *stage) error {
		pg := dhcptest.StartPostgres(s)
		inventories := map[int]*inventory{
			machinesUsual: newInventory(s, pg, 27779, machinesUsual),
			machinesMany:  newInventory(s, pg, 27778, machinesMany),
		}
		began := time.Now()
		for round := 1; round <= o.rounds; round++ {
			for _, c := range scenes(o.part()) {
				c.duty.inventory = inventories[c.duty.machines]
				turn := round
				if c.second {
					turn += o.rounds
				}
				s.round(o, l, c, turn, began)
			}
		}
		return nil
	})
}

// stayOn keeps this process, and all that it starts, on one core.
func stayOn(core string) error {
	n, err := strconv.Atoi(core)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(n)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, _ := strconv.Atoi(t.Name())
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("staying on core %s: %w", core, err)
		}
	}
	return nil
}

// round measures the servers of a scene once.
func (s *stage) round(o options, l *ledger, c scene, round int, began time.Time) {
	for _, p := range c.plays(round) {
		name := c.name + "/" + p.name
		if !o.only.MatchString(name) || l.has(c.name, p.name, round) {
			continue
		}
		if time.Since(began) > o.limit {
			s.Errorf("%s, round %d: not begun after %v; run it again to go on", name, round, o.limit)
			continue
		}
		r, err := s.once(c, p)
		if err != nil {
			s.Errorf("%s, round %d: %w", name, round, err)
			fmt.Printf("round %d  %-28s %v\n", round, name, err)
			continue
		}
		r.Scene, r.Peer, r.Round = c.name, p.name, round
		if err := l.add(r); err != nil {
			s.Fatal(err)
		}
		fmt.Printf("round %d  %-28s %s\n", round, name, r)
	}
}

// once measures a server: it is started, must answer as it should, is measured
// and ended.
func (s *stage) once(c scene, p peer) (r record, err error) {
	own := s.again()
	err = own.run(func() error {
		d := c.duty
		if d.stirred {
			d.gate = own.stands(d.inventory.Address())
		}
		cmd := p.start(own, d)
		proc := dhcptest.StartProcess(own, p.name, cmd)
		hurry(cmd)
		if err := own.see(proc, c, p); err != nil {
			return err
		}
		epoch := time.Now().Add(warmTime)
		stirred := func() error { return nil }
		if d.gate != nil {
			stirred = d.inventory.stir()
			if err := d.gate.keep(timetable{epoch, c.cycle}); err != nil {
				return err
			}
		}
		if c.asks == theirs {
			r.Theirs, err = own.perfdhcp(c.crowds[0])
		} else {
			r.Results, err = own.play(job(c, p, cmd.Process.Pid, epoch))
		}
		r.Memory, r.Peak = proc.Memory(), proc.PeakMemory()
		if d.gate != nil {
			err = errors.Join(err, d.gate.used(int(c.crowds[0].For/c.cycle.Whole())))
		}
		return errors.Join(err, stirred(), wrong(r.Results))
	})
	return r, err
}

// job is what the crowd does.
func job(c scene, p peer, pid int, epoch time.Time) load.Job {
	j := load.Job{PID: pid, Limit: c.limit, Seed: 1, Awake: c.asks == awake, Epoch: epoch, Cycle: c.cycle}
	if c.duty.relayed {
		for n := range relays {
			j.Relays = append(j.Relays, relay(n))
		}
	}
	for _, crowd := range c.crowds {
		crowd.Echo = p.name == echo.name
		j.Crowds = append(j.Crowds, crowd)
	}
	return j
}

// wrong says what a server did that no server may, and what this host lost.
func wrong(results []load.Result) error {
	var errs []error
	for _, r := range results {
		for _, text := range r.Wrong {
			errs = append(errs, errors.New(text))
		}
		if r.Lost > 0 {
			errs = append(errs, fmt.Errorf("the crowd had no room for %d frames", r.Lost))
		}
	}
	return errors.Join(errs...)
}

// see waits until a server answers, and looks whether it tells a known machine
// all that it should.
func (s *stage) see(proc *dhcptest.Process, c scene, p peer) error {
	first := c
	first.cycle = load.Cycle{}
	first.crowds = crowds(load.Crowd{Mode: load.Burst, Clients: 1, Base: firstIP, Once: true, Retry: 250 * time.Millisecond})
	first.limit = startLimit
	results, err := s.play(job(first, p, 0, time.Time{}))
	if err != nil {
		return err
	}
	if results[0].Leases != 1 {
		return fmt.Errorf("no answer in %v; it said:\n%s", startLimit, proc.Log())
	}
	if p.name == echo.name {
		return nil
	}
	ack, err := dhcpv4.FromBytes(results[0].Last)
	if err != nil {
		return err
	}
	if diff := gocmp.Diff(wanted, shown(ack)); diff != "" {
		return fmt.Errorf("what a machine is told (-want +got):\n%s", diff)
	}
	return nil
}

// told is what a machine that boots needs.
type told struct {
	Addr, Mask, Routers, DNS, Server, Next, Name, File string
	Lease                                              time.Duration
}

var wanted = told{
	Addr: firstIP.String(), Mask: "fffe0000", Routers: "[" + routerIP.String() + "]", DNS: "[" + dnsIP.String() + "]",
	Server: serverIP.String(), Next: serverIP.String(), Name: hostname(0), File: bootFile, Lease: leaseTime,
}

func shown(m *dhcpv4.DHCPv4) told {
	return told{
		Addr: m.YourIPAddr.String(), Mask: m.SubnetMask().String(), Routers: fmt.Sprint(m.Router()), DNS: fmt.Sprint(m.DNS()),
		Server: m.ServerIdentifier().String(), Next: m.ServerIPAddr.String(), Name: m.HostName(),
		File: cmp.Or(m.BootFileNameOption(), m.BootFileName), Lease: m.IPAddressLeaseTime(0),
	}
}
