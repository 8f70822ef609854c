package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// A series is one that Prometheus has, with its last value.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// query asks Prometheus for the series of an expression.
func (s *site) query(expr string) ([]series, error) {
	code, body, err := s.get("http://127.0.0.1:9090/api/v1/query?query=" + url.QueryEscape(expr))
	var answer struct {
		Status, Error string
		Data          struct{ Result []series }
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &answer)
	}
	if err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %d %w %s", expr, code, err, answer.Error)
	}
	return answer.Data.Result, nil
}

// want waits until an expression has a value.
func (s *site) want(expr, value string) {
	s.t.Helper()
	dhcptest.Eventually(s.t, 3*takesUp, func() error {
		all, err := s.query(expr)
		if err == nil && (len(all) != 1 || fmt.Sprint(all[0].Value[1]) != value) {
			err = fmt.Errorf("%s: %v, want %s", expr, all, value)
		}
		return err
	})
}

// expressions returns those of the dashboard and of the alert rules, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(resource(t, "grafana/coresmd.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*")
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %q, %d", p.Title, i+1)] = fill.Replace(target.Expr)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)- alert: (\S+)\n +expr: (.*)$`).FindAllStringSubmatch(resource(t, "prometheus/coresmd.rules.yaml"), -1) {
		all["alert "+m[1]] = m[2]
	}
	return all
}

func resource(t *testing.T, name string) string {
	t.Helper()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "resources", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A real Prometheus scrapes a site in which machines boot, loads the alert rules, and is asked
// what the dashboard asks.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{TLS: true})
	s.addNode(1, "192.0.2.11")
	s.addNode(2)
	audit := filepath.Join(t.TempDir(), "audit.log")
	words := strings.Replace(s.words("http_addr=:6767", "http_socket="+filepath.Join(t.TempDir(), "s"), "ca_cert="+s.smd.CAFile, "audit="+audit), "http://127.0.0.1:27779", s.smd.URL(), 1)
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.chain(words, "bootloop: lease_file="+filepath.Join(t.TempDir(), "leases.db")+" audit="+audit+" "+tenAddresses))
	s.ready("ok")
	s.startPrometheus()

	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
	stranger := s.host(9)
	strange(t, dhcptest.Udhcpc(stranger, "eth0", dhcptest.ClientOptions{}))
	if _, err := dhcptest.TFTPGet(stranger, serverIP, "reboot.ipxe"); err != nil {
		t.Fatal(err)
	}
	if _, err := dhcptest.TFTPGet(stranger, serverIP, "missing"); err == nil {
		t.Error("a missing file was served")
	}

	s.want(`up{job="coresmd"}`, "1")
	s.want(`sum(coresmd_replies_total{type="ACK"})`, "1")
	s.want(`coresmd_requests_total{message="REQUEST",state="selecting"} >= 2`, "2")
	s.want(`coresmd_inventory_state == 1`, "1")
	s.want(`coresmd_inventory_faults{kind="address-missing"}`, "1")
	s.want(`sum by (outcome) (bootloop_lease_commits_total{outcome="written"})`, "1")
	s.want(`bootloop_pool_addresses{state="leased"}`, "1")
	s.want(`bootloop_pool_size`, "10")
	s.want(`coresmd_transfers_total{protocol="tftp",outcome="sent"}`, "1")
	s.want(`coresmd_transfers_total{protocol="tftp",outcome="missing"}`, "1")
	s.want(`coresmd_certificate_expiry_timestamp_seconds{certificate="smd"} > bool time()`, "1")
	s.want(`coresmd_certificate_expiry_timestamp_seconds{certificate="ca_cert"} > bool time()`, "1")
	s.want(`coresmd_build_info`, "1")
	s.want(`coresmd_journal_machines`, "2")
	s.exists()
	s.lintMetrics()
	s.rotates(dhcp, audit)
}

// startPrometheus runs Debian's Prometheus beside the server, with the alert rules.
func (s *site) startPrometheus() {
	s.t.Helper()
	dir := s.t.TempDir()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		s.t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s/resources/prometheus/*.yaml]\nscrape_configs:\n  - job_name: coresmd\n    static_configs: [{targets: ['%s']}]\n", root, statusAddr)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.server.Command(context.Background(), dhcptest.Need(s.t, "prometheus", "prometheus"),
		"--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:9090")
	dhcptest.StartProcess(s.t, "prometheus", cmd)
	dhcptest.Eventually(s.t, 3*takesUp, func() error {
		_, err := s.query("up")
		return err
	})
}

// exists asks everything that the dashboard and the alerts ask, and whether the metrics that
// they name are there.
func (s *site) exists() {
	s.t.Helper()
	name := regexp.MustCompile(`\b(?:coresmd|bootloop|process)_\w+`)
	seen := make(map[string]bool)
	for where, expr := range expressions(s.t) {
		if _, err := s.query(expr); err != nil {
			s.t.Errorf("%s: %v", where, err)
		}
		for _, metric := range name.FindAllString(expr, -1) {
			seen[metric] = true
			if all, err := s.query(metric); err != nil || len(all) == 0 {
				s.t.Errorf("%s names %s: %d series, %v", where, metric, len(all), err)
			}
		}
	}
	if len(seen) < 25 {
		s.t.Errorf("only %d metrics are named", len(seen))
	}
	_, body, err := s.get("http://127.0.0.1:9090/api/v1/rules")
	if err != nil || strings.Count(body, `"type":"alerting"`) != strings.Count(resource(s.t, "prometheus/coresmd.rules.yaml"), "- alert:") || strings.Contains(body, `"health":"err"`) {
		s.t.Errorf("rules: %v\n%s", err, body)
	}
}

// lintMetrics has promtool look at the names and at the rules. Each alert has its section in the
// runbook.
func (s *site) lintMetrics() {
	s.t.Helper()
	promtool := dhcptest.Need(s.t, "promtool", "prometheus")
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var ours strings.Builder
	for line := range strings.Lines(s.told(status.PathMetrics)) {
		if regexp.MustCompile(`^(# \w+ )?(coresmd|bootloop)_`).MatchString(line) {
			ours.WriteString(line)
		}
		if regexp.MustCompile(`02:00:00|192\.0\.2\.11`).MatchString(line) {
			s.t.Errorf("a machine is in a metric: %s", line)
		}
	}
	lint := s.server.Command(ctx, promtool, "check", "metrics")
	lint.Stdin = strings.NewReader(ours.String())
	if out, err := lint.CombinedOutput(); err != nil {
		s.t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	root, err := dhcptest.RepoRoot()
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.Run(promtool, "check", "rules", filepath.Join(root, "resources/prometheus/coresmd.rules.yaml"))
	book, err := os.ReadFile(filepath.Join(root, "docs/runbook.md"))
	if err != nil {
		s.t.Fatal(err)
	}
	rules := resource(s.t, "prometheus/coresmd.rules.yaml")
	var alerts, sections []string
	for _, m := range regexp.MustCompile(`- alert: (\S+)`).FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
		if !strings.Contains(rules, "runbook: docs/runbook.md#"+strings.ToLower(m[1])+"\n") {
			s.t.Errorf("alert %s has no runbook line", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(string(book), -1) {
		sections = append(sections, m[1])
	}
	if !slices.Equal(alerts, sections) {
		s.t.Errorf("alerts %v, sections of the runbook %v", alerts, sections)
	}
}

// rotates moves the audit file away, as logrotate does, and has one more lease given.
func (s *site) rotates(dhcp *dhcptest.Process, audit string) {
	s.t.Helper()
	events := func(path string) []string {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		var list []string
		for line := range strings.Lines(string(text)) {
			var e struct{ Event, Plugin, MAC, IP string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				s.t.Errorf("%v: %s", err, line)
			}
			list = append(list, strings.Join([]string{e.Plugin, e.Event, e.MAC}, " "))
		}
		return list
	}
	is := func(path string, want ...string) {
		s.t.Helper()
		dhcptest.Eventually(s.t, takesUp, func() error {
			if got := events(path); !slices.Equal(got, want) {
				return fmt.Errorf("%s: %q, want %q", path, got, want)
			}
			return nil
		})
	}
	is(audit, "coresmd given 02:00:00:00:00:01", "bootloop given 02:00:00:00:00:09")
	if err := os.Rename(audit, audit+".1"); err != nil {
		s.t.Fatal(err)
	}
	dhcp.Signal(syscall.SIGHUP)
	dhcptest.Eventually(s.t, takesUp, func() error { _, err := os.Stat(audit); return err })
	dhcptest.Udhcpc(s.host(8), "eth0", dhcptest.ClientOptions{})
	is(audit, "bootloop given 02:00:00:00:00:08")
	is(audit+".1", "coresmd given 02:00:00:00:00:01", "bootloop given 02:00:00:00:00:09")
}
