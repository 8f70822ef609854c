package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/spf13/pflag"
)

// The manual page has the metrics that there are.
func TestManualPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := process.New()
	newMetrics(p)
	if table := dhcptest.MetricTable(t, p.Registry, "dhcp_"); !strings.Contains(string(page), table) {
		t.Errorf("README.md lacks this table:\n%s", table)
	}
}

// The manual page has the flags that there are.
func TestManualPageFlags(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| flag | meaning |\n|---|---|\n"
	new(options).flags("coredhcp").VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + strings.ToUpper(value))
		if f.Shorthand != "" {
			name += "`, `-" + f.Shorthand
		}
		table += fmt.Sprintf("| `%s` | %s |\n", name, usage)
	})
	if !strings.Contains(string(page), table) {
		t.Errorf("README.md lacks this table:\n%s", table)
	}
}
