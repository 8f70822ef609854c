package server

import (
	"os"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
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
