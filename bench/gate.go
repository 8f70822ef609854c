package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A gate stands before an SMD. In all phases but the busy ones what a server asks
// waits there: so the same server is measured with and without a refresh, in turn.
type gate struct {
	told io.Writer
	proc *dhcptest.Process // says passed for each question since it was told
}

// gateAddr is where the gate is, on the server's loopback.
const gateAddr = "127.0.0.1:27780"

// A timetable says when a gate is open.
type timetable struct {
	Epoch time.Time
	Cycle load.Cycle
}

// stands starts a gate before an SMD. It is open until it is told a timetable.
func (s *stage) stands(smd string) *gate {
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	cmd := s.server.Command(context.Background(), "taskset", "-c", crowdCore, self, "gate", gateAddr, smd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	told, err := cmd.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	return &gate{told: told, proc: dhcptest.StartProcess(s, "gate", cmd)}
}

// keep tells a gate its timetable.
func (g *gate) keep(t timetable) error { return json.NewEncoder(g.told).Encode(t) }

// passed is what a gate says.
const passed = "passed\n"

// used says what is wrong if SMD was not asked as often as there were busy
// phases: then nothing was measured.
func (g *gate) used(phases int) error {
	if got := strings.Count(g.proc.Log(), passed); got < phases {
		return fmt.Errorf("SMD was asked %d times in %d busy phases", got, phases)
	}
	return nil
}

// standAt is what the process of a gate does: whoever comes to listen is led
// to an address, when the gate is open.
func standAt(ctx context.Context, listen, to string, told io.Reader, says io.Writer) error {
	var l net.ListenConfig
	door, err := l.Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	defer func() { _ = door.Close() }()
	var opens atomic.Pointer[timetable]
	go func() {
		var t timetable
		if json.NewDecoder(told).Decode(&t) == nil {
			opens.Store(&t)
		}
	}()
	for {
		from, err := door.Accept()
		if err != nil {
			return err
		}
		var d net.Dialer
		behind, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			return errors.Join(err, from.Close())
		}
		go func() { _, _ = io.Copy(from, behind); _ = from.Close() }()
		go func() { lead(from, behind, &opens, says); _ = behind.Close() }()
	}
}

// lead passes on what is asked, piece by piece, and says so of what a timetable
// was for.
func lead(from io.Reader, to io.Writer, opens *atomic.Pointer[timetable], says io.Writer) {
	room := make([]byte, 4096)
	for {
		n, err := from.Read(room)
		if err != nil {
			return
		}
		if t := opens.Load(); t != nil {
			t.wait()
			_, _ = io.WriteString(says, passed)
		}
		if _, err := to.Write(room[:n]); err != nil {
			return
		}
	}
}

// wait waits for a busy phase.
func (t *timetable) wait() {
	for {
		phase, left := t.Cycle.At(time.Since(t.Epoch))
		if phase == load.Busy {
			return
		}
		time.Sleep(left)
	}
}

// gateWords reads the arguments of the process of a gate.
func gateWords(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("gate: %d arguments; wanted LISTEN TO", len(args))
	}
	return standAt(context.Background(), args[0], args[1], os.Stdin, os.Stdout)
}
