package main

import (
	"fmt"
	"strings"
)

// A chart is bars of one unit.
type chart struct {
	title string
	unit  string
	bars  []bar
}

// A bar is a number with its name.
type bar struct {
	name  string
	value float64
}

// charts are what the plot shows.
func charts(l *ledger) []chart {
	of := func(title, unit, scene string, value func(record) float64, peers ...peer) chart {
		c := chart{title: title, unit: unit}
		for _, p := range peers {
			if got, ok := median(l.of(scene, p.name), value); ok {
				c.bars = append(c.bars, bar{p.title, got})
			}
		}
		return c
	}
	return []chart{
		of("Relayed leases a second", "", relayedScene, rate, ours, stock, kea, echo),
		of("Direct leases a second", "", directScene, rate, ours, stock, kea),
		of("10,000 switched on at once, relayed: seconds until all have leases", "s", burstRelayed, took, ours, stock, kea),
		of("10,000 switched on at once, direct: seconds until all have leases", "s", burstDirect, took, ours, stock, kea),
		of("Leases a second for new machines", "", strangersScene, rate, ours, stock, kea),
	}
}

// Sizes of the plot.
const (
	plotWidth = 720
	nameWidth = 220
	barWidth  = 400
	lineHigh  = 22
)

// plot draws charts below each other.
func plot(charts []chart) string {
	var body strings.Builder
	y := 10
	for _, c := range charts {
		y += lineHigh
		fmt.Fprintf(&body, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y, c.title)
		most := 0.0
		for _, b := range c.bars {
			most = max(most, b.value)
		}
		for i, b := range c.bars {
			y += lineHigh
			width := barWidth * b.value / max(most, 1e-9)
			fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text>`, nameWidth-8, y, b.name)
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, nameWidth, y-13, width, lineHigh-5, colour(i))
			fmt.Fprintf(&body, `<text x="%.1f" y="%d">%s</text>`+"\n", nameWidth+width+6, y, strings.TrimSpace(short(b.value)+" "+c.unit))
		}
		y += lineHigh / 2
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="white"/>
%[3]s</svg>
`, plotWidth, y+lineHigh, body.String())
}

// colour is that of coresmd for the first bar, and grey for what it is compared
// with.
func colour(i int) string {
	if i == 0 {
		return "#1f77b4"
	}
	return "#b0b0b0"
}
