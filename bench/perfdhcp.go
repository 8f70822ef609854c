package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// theirRate is how many handshakes a second perfdhcp begins. On one core it loses
// answers itself when it is to do a little more.
const theirRate = 4000

// exchanges are what perfdhcp tells at its end: of a DISCOVER and its OFFER, and
// of a REQUEST and its ACK, together.
type exchanges struct {
	Asked    int // messages that were sent
	Answered int
	Delay    time.Duration // mean, from DISCOVER to OFFER and from REQUEST to ACK
}

func (x exchanges) String() string {
	return fmt.Sprintf("%d of %d messages answered, after %v", x.Answered, x.Asked, x.Delay)
}

// perfdhcp has Kea's load generator ask for the machines of a crowd.
func (s *stage) perfdhcp(c load.Crowd) (exchanges, error) {
	self := relay(relays).Addr // beside those of our crowd
	here := netip.PrefixFrom(self, network.Bits()).String()
	s.crowd.IP("addr", "add", here, "dev", "eth0")
	s.Cleanup(func() { s.crowd.IP("addr", "del", here, "dev", "eth0") })
	ctx, cancel := context.WithTimeout(context.Background(), c.For+20*time.Second)
	defer cancel()
	cmd := s.crowd.Command(ctx, "taskset", "-c", crowdCore, dhcptest.Need(s, "perfdhcp", "kea-admin"), "-4", "-g", "single",
		"-r", strconv.Itoa(theirRate), "-p", strconv.Itoa(int(max(c.For, time.Second)/time.Second)), "-W", "200000", // microseconds
		"-R", strconv.Itoa(c.Clients), "-b", "mac="+machineMAC(0).String(), "-l", self.String(), serverIP.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // its status is 3 when it lost one
		return exchanges{}, err
	}
	return readExchanges(text)
}

var theirCounts = regexp.MustCompile(`sent packets: (\d+)\s+received packets: (\d+)\s[^*]*avg delay: ([\d.]+) ms`)

func readExchanges(text []byte) (exchanges, error) {
	halves := theirCounts.FindAllSubmatch(text, -1)
	if len(halves) != 2 {
		return exchanges{}, fmt.Errorf("perfdhcp does not tell of two exchanges:\n%s", text)
	}
	var x exchanges
	for _, half := range halves {
		sent, err := strconv.Atoi(string(half[1]))
		received, err2 := strconv.Atoi(string(half[2]))
		delay, err3 := strconv.ParseFloat(string(half[3]), 64)
		if err := errors.Join(err, err2, err3); err != nil {
			return exchanges{}, fmt.Errorf("perfdhcp: %w", err)
		}
		x.Asked, x.Answered = x.Asked+sent, x.Answered+received
		x.Delay += time.Duration(delay * float64(time.Millisecond))
	}
	return x, nil
}
