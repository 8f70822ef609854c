package main

import (
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
)

// Sizes of what is measured.
const (
	machinesUsual = 10_000
	machinesMany  = 100_000

	// window is how many handshakes are under way at saturation: as many
	// packets as the usual receive buffer of 208 KiB has room for. Then no
	// server loses one, and what is measured is its work.
	window = 128

	warmTime = time.Second
	retry    = time.Second // of what was lost in spite of that
)

// A scene is one measurement of some servers.
type scene struct {
	name   string
	peers  []peer
	once   []peer // measured in the first round only: they are slow, and no target is about them
	duty   duty
	crowds []load.Crowd
	limit  time.Duration
	asks   asker
	cycle  load.Cycle
	second bool // another measurement of a scene in the same round
}

// An asker is a program that plays clients.
type asker uint8

const (
	sleepy asker = iota // ours, which sleeps when there is nothing to read
	awake               // ours, which never sleeps
	theirs              // Kea's perfdhcp
)

// names of scenes.
const (
	relayedScene   = "relayed"
	awakeScene     = "relayed-awake"
	directScene    = "direct"
	burstRelayed   = "burst-relayed"
	burstDirect    = "burst-direct"
	burstMany      = "burst-100000"
	refreshScene   = "refresh"
	strangersScene = "strangers"
	busyScene      = "busy"
	theirScene     = "perfdhcp"
)

// scenes lists all that is measured. part scales the measured times: 1 for
// numbers that are to be kept.
func scenes(part float64) []scene {
	scaled := func(d time.Duration) time.Duration { return time.Duration(part * float64(d)) }
	known := load.Crowd{Clients: machinesUsual, Base: firstIP, Warm: scaled(warmTime), For: scaled(3 * time.Second), Retry: retry}
	saturated, burst, paced, strange := known, known, known, known
	saturated.Mode, saturated.Window = load.Window, window
	burst.Mode, burst.Once, burst.Retry = load.Burst, true, 0
	paced.Mode, paced.Rate = load.Rate, 500
	beside := load.Cycle{Calm: scaled(1500 * time.Millisecond), Busy: scaled(2 * time.Second), End: 500 * time.Millisecond}
	paced.For = 4 * beside.Whole()
	many := burst
	many.Clients = machinesMany
	long, reading := known, load.Cycle{Calm: scaled(3 * time.Second), Busy: scaled(3 * time.Second), End: 2 * time.Second}
	long.Mode, long.Rate, long.Clients, long.For = load.Rate, 1000, machinesMany, 3*reading.Whole()
	strange.Mode, strange.Window, strange.Once = load.Window, 4*window, true
	strange.First, strange.Clients, strange.Base = 1<<24, 90_000, nobody
	newcomers := strange
	newcomers.Mode, newcomers.Rate, newcomers.For, newcomers.Busy = load.Rate, 2000, paced.For, true

	usual, relayed := duty{machines: machinesUsual, refresh: time.Hour}, duty{relayed: true, machines: machinesUsual, refresh: time.Hour}
	large := duty{relayed: true, machines: machinesMany, refresh: time.Hour}
	looking, open := large, relayed
	looking.refresh, looking.stirred, open.strangers = time.Second, true, true

	short, lengthy := 40*time.Second, 65*time.Second
	all := []scene{
		{name: relayedScene, peers: []peer{ours, stock, kea, echo}, once: []peer{lines, masq}, duty: relayed, crowds: crowds(saturated), limit: short},
		{name: awakeScene, peers: []peer{ours, stock, kea, echo}, duty: relayed, crowds: crowds(saturated), limit: short, asks: awake},
		{name: directScene, peers: []peer{ours, stock, kea}, once: []peer{masq}, duty: usual, crowds: crowds(saturated), limit: short},
		{name: burstRelayed, peers: []peer{ours, stock, kea}, duty: relayed, crowds: crowds(burst), limit: lengthy},
		{name: burstDirect, peers: []peer{ours, stock, kea}, duty: usual, crowds: crowds(burst), limit: lengthy},
		{name: burstMany, peers: []peer{ours}, once: []peer{stock, kea}, duty: large, crowds: crowds(many), limit: lengthy},
		{name: refreshScene, peers: []peer{ours}, once: []peer{stock}, duty: looking, crowds: crowds(long), limit: short, cycle: reading},
		{name: strangersScene, peers: []peer{ours, stock, kea}, once: []peer{asks}, duty: open, crowds: crowds(strange), limit: short},
		{name: theirScene, peers: []peer{ours, stock, kea}, duty: relayed, crowds: crowds(known), limit: short, asks: theirs},
		{name: busyScene, peers: []peer{ours, kea, echo}, once: []peer{stock}, duty: open, crowds: crowds(newcomers, paced), limit: short, cycle: beside},
	}
	for _, c := range all {
		if c.name == relayedScene || c.name == directScene { // a machine is slow for seconds, which is as long as these take
			c.second, c.once = true, nil
			all = append(all, c)
		}
	}
	return all
}

func crowds(c ...load.Crowd) []load.Crowd { return c }

// plays tells whether a server is measured in a round.
func (c scene) plays(round int) []peer {
	if round > 1 {
		return c.peers
	}
	return append(append([]peer{}, c.peers...), c.once...)
}
