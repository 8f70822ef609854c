package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"
)

//go:embed page.md.template
var page string

// writePage writes what was measured.
func writePage(o options, l *ledger) error {
	rows, met, missed := judge(l)
	fmt.Printf("%d targets met, %d missed, %d not measured\n", met, missed, len(targets)-met-missed)
	form, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = form.Execute(&text, map[string]string{
		"Date": time.Now().UTC().Format(time.DateOnly), "Machine": machine(), "Versions": versions(), "Rounds": fmt.Sprint(o.rounds),
		"Targets":    table([]string{"", "target", "measured"}, rows),
		"Saturation": table(saturationHead, numbers(l, []peer{ours, lines, stock, kea, masq, echo}, saturation[:])),
		"Bursts":     table(burstHead, numbers(l, []peer{ours, stock, kea}, bursts[:])),
		"New":        table(newHead, numbers(l, []peer{ours, asks, stock, kea, echo}, newcomers[:])),
		"Theirs":     table(theirHead, numbers(l, []peer{ours, stock, kea}, exchanged[:])),
		"Refresh":    table(refreshHead, numbers(l, []peer{ours, stock}, refreshes[:])),
	})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(o.docs, "performance.md"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(o.docs, "performance.svg"), []byte(plot(charts(l))), 0o644))
}

// A cell is a number of a table.
type cell struct {
	scene string
	value func(record) float64
}

var (
	saturationHead = []string{"", "relayed: leases/s", "ms of processor per 1,000", "median, ms", "relayed, clients awake: leases/s", "ms of processor per 1,000", "direct: leases/s", "ms of processor per 1,000", "median, ms"}
	saturation     = [...]cell{{relayedScene, rate}, {relayedScene, perThousand}, {relayedScene, p50}, {awakeScene, rate}, {awakeScene, perThousand}, {directScene, rate}, {directScene, perThousand}, {directScene, p50}}
	burstHead      = []string{"", "10,000 relayed: s", "sent again", "10,000 direct: s", "sent again", "100,000 relayed: s", "without a lease then", "sent again", "most memory, MB"}
	bursts         = [...]cell{{burstRelayed, took}, {burstRelayed, again}, {burstDirect, took}, {burstDirect, again}, {burstMany, took}, {burstMany, left}, {burstMany, again}, {burstMany, peak}}
	newHead        = []string{"", "new machines: leases/s", "known machine alone: median, ms", "99 %, ms", "beside 2,000 new ones a second: median, ms", "99 %, ms"}
	newcomers      = [...]cell{{strangersScene, rate}, {busyScene, calm50}, {busyScene, calm99}, {busyScene, busy50}, {busyScene, busy99}}
	theirHead      = []string{"", "messages", "not answered, of 1,000", "mean of OFFER and ACK together, ms"}
	exchanged      = [...]cell{{theirScene, asked}, {theirScene, unanswered}, {theirScene, delay}}
	refreshHead    = []string{"", "no refresh: median, ms", "99 %, ms", "one after the other: median, ms", "99 %, ms", "sent again"}
	refreshes      = [...]cell{{refreshScene, calm50}, {refreshScene, calm99}, {refreshScene, busy50}, {refreshScene, busy99}, {refreshScene, again}}
)

func perThousand(r record) float64 { return 1000 * cost(r) }

// numbers fills a table with medians.
func numbers(l *ledger, peers []peer, cells []cell) [][]string {
	var rows [][]string
	for _, p := range peers {
		row := []string{p.title}
		for _, c := range cells {
			text := ""
			if got, ok := median(l.of(c.scene, p.name), c.value); ok {
				text = short(got)
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	return rows
}

// table writes a table of Markdown.
func table(head []string, rows [][]string) string {
	var text strings.Builder
	line := func(cells []string) { fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(strings.Split("---"+strings.Repeat(",---", len(head)-1), ","))
	for _, row := range rows {
		line(row)
	}
	return text.String()
}

// machine says what was measured on.
func machine() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	memory, _ := os.ReadFile("/proc/meminfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores of %s, %s kB of memory, Linux %s", runtime.NumCPU(),
		first(info, `model name\s*: (.*)`), first(memory, `MemTotal:\s*(\d+)`), strings.TrimSpace(string(kernel)))
}

// versions says of what.
func versions() string {
	said := func(expr, name string, args ...string) string {
		out, _ := exec.CommandContext(context.Background(), name, args...).CombinedOutput()
		return first(out, expr)
	}
	return fmt.Sprintf("coresmd %s, %s, Kea %s, dnsmasq %s",
		said(`(.*)`, "git", "describe", "--tags", "--always", "--dirty"), runtime.Version(),
		said(`(.*)`, "/usr/sbin/kea-dhcp4", "-v"), said(`version (\S+)`, "/usr/sbin/dnsmasq", "--version"))
}

// first returns the first match in a text.
func first(text []byte, expr string) string {
	if m := regexp.MustCompile(expr).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return "unknown"
}
