package dhcptest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricTable returns the metrics of a registry whose names begin with a prefix,
// as the table of a plugin's manual page.
func MetricTable(t testing.TB, r *prometheus.Registry, prefix string) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	table := "| metric | labels | meaning |\n|---|---|---|\n"
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		labels := make(map[string]bool)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels["`"+l.GetName()+"`"] = true
			}
		}
		table += fmt.Sprintf("| `%s` | %s | %s |\n", f.GetName(), strings.Join(slices.Sorted(maps.Keys(labels)), ", "), f.GetHelp())
	}
	return table
}

// MetricNames returns the names under which the metrics of a registry are
// queried: a histogram has three.
func MetricNames(t testing.TB, r *prometheus.Registry) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if f.GetType().String() == "HISTOGRAM" {
			names = append(names, f.GetName()+"_bucket", f.GetName()+"_sum", f.GetName()+"_count")
		}
	}
	return names
}

// MetricText returns the metrics of a registry whose names begin with a prefix,
// with their values.
func MetricText(t testing.TB, r *prometheus.Registry, prefix string) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), prefix) && !strings.HasSuffix(f.GetName(), "age_seconds") {
			text += f.String() + "\n"
		}
	}
	return text
}
