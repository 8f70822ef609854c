// Command bench compares coresmd with its peers: how many leases they give in
// a second, how long a system that is switched on as a whole waits for its
// leases, and what that costs. Servers have one core, the crowd of clients has
// another, and they take turns: each round measures all of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
)

// folder has what a run leaves; it must be on a disk.
const folder = "build/bench"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "load":
		return crowd()
	case len(args) > 0 && args[0] == "echo":
		return answer(context.Background())
	case len(args) > 0 && args[0] == "gate":
		return gateWords(args[1:])
	}
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run this as root")
	}
	return compare(o)
}

// crowd does the job that it reads and writes what became of it.
func crowd() error {
	var job load.Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	results, err := load.Run(job)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

// options are the words of the command.
type options struct {
	rounds int
	quick  bool
	fresh  bool
	only   *regexp.Regexp
	limit  time.Duration
	docs   string // folder of the page
}

func readOptions(args []string) (options, error) {
	o := options{docs: "docs"}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 3, "rounds; a number in the table is the median of all")
	f.BoolVar(&o.quick, "quick", false, "one short round, to see that all works; the page is written beside the records")
	f.BoolVar(&o.fresh, "fresh", false, "forget what an interrupted run has measured")
	f.DurationVar(&o.limit, "limit", 20*time.Minute, "begin nothing after that time")
	only := f.String("only", "", "measure only what matches, as SCENE/SERVER; the page is written beside the records")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.quick {
		o.rounds = 1
	}
	if o.quick || *only != "" {
		o.docs = folder
	}
	return o, nil
}

// part is what part of the usual time is measured.
func (o options) part() float64 {
	if o.quick {
		return 0.3
	}
	return 1
}

// compare measures what is not measured yet and writes the page.
func compare(o options) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	key, err := sums(self, "bin/coredhcp", "bin/coredhcp-stock")
	if err != nil {
		return err
	}
	l, err := openLedger(filepath.Join(folder, "records"), fmt.Sprintf("%s quick=%v", key, o.quick))
	if err != nil {
		return err
	}
	if o.fresh {
		if err := l.restart(); err != nil {
			return err
		}
	}
	missing := measure(o, l)
	return errors.Join(missing, writePage(o, l))
}
