// Command dhcping asks a DHCPv4 server whether it answers. It takes the flags of the program
// of that name that deployed health checks call:
//
//	dhcping -c 192.0.2.1 -s 192.0.2.1 -h 00:00:00:00:00:00
//
// Exit status: 0 an answer, 1 none or an error, 2 wrong use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/probe"
)

const usage = `usage: dhcping -s SERVER [-c CLIENT] [-h MAC] [-t SECONDS] [-i | -r] [-q] [-v]
  -s SERVER   address of the server
  -c CLIENT   ciaddr, the address that is asked about; none: that of the server
  -h MAC      chaddr; none: 00:00:00:00:00:00
  -t SECONDS  how long to wait for an answer; none: 3
  -i          send an INFORM
  -r          send a REQUEST, as is done without -i
  -q          print nothing
  -v          print what the answer is
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(words []string, out, complain io.Writer) int {
	ask, say, err := parse(words)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(out, "%s", usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(complain, "dhcping: %v\n%s", err, usage)
		return 2
	}
	if say.quiet {
		out, complain = io.Discard, io.Discard
	}
	answer, err := ask.Ask(context.Background())
	switch {
	case errors.Is(err, probe.ErrNoAnswer):
		fmt.Fprintf(out, "no answer\n")
		return 1
	case err != nil:
		fmt.Fprintf(complain, "dhcping: %v\n", err)
		return 1
	}
	fmt.Fprintf(out, "Got answer from: %s\n", answer.From)
	if say.more {
		fmt.Fprintf(out, "%s %s\n", answer.Type, answer.Text)
	}
	return 0
}

// speech is how much is printed.
type speech struct{ quiet, more bool }

// parse reads the command line. What is not given has the meaning that usage tells.
func parse(words []string) (probe.Probe, speech, error) {
	p := probe.Probe{MAC: make(net.HardwareAddr, 6)}
	say := speech{}
	flags := flag.NewFlagSet("dhcping", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.TextVar(&p.Server, "s", netip.Addr{}, "")
	flags.TextVar(&p.Client, "c", netip.Addr{}, "")
	flags.Func("h", "", func(text string) (err error) {
		p.MAC, err = net.ParseMAC(text)
		return err
	})
	seconds := flags.Float64("t", 3, "")
	flags.BoolVar(&p.Inform, "i", false, "")
	request := flags.Bool("r", false, "")
	flags.BoolVar(&say.quiet, "q", false, "")
	flags.BoolVar(&say.more, "v", false, "")
	if err := flags.Parse(words); err != nil {
		return p, say, err
	}
	p.Wait = time.Duration(*seconds * float64(time.Second))
	if !p.Client.IsValid() {
		p.Client = p.Server
	}
	return p, say, check(p, *request, flags.Args())
}

func check(p probe.Probe, request bool, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is too much; wanted flags only", rest[0])
	case !p.Server.Is4():
		return fmt.Errorf("-s %q: wanted the IPv4 address of the server", text(p.Server))
	case !p.Client.Is4():
		return fmt.Errorf("-c %q: wanted an IPv4 address", p.Client)
	case len(p.MAC) != 6:
		return fmt.Errorf("-h %q: wanted a MAC address of six octets", p.MAC)
	case p.Wait <= 0:
		return fmt.Errorf("-t %s: wanted a number of seconds above 0", p.Wait)
	case request && p.Inform:
		return errors.New("-i and -r together; wanted one of them")
	}
	return nil
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
