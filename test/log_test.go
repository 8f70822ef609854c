package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestNobodyReadsTheLog has the log go into a pipe that nobody reads. Clients are answered all
// the same, the metric counts the lines that are lost, and whoever reads the log later is told.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := l.chainOf("http_addr=127.0.0.1:6767", "subnet="+stormNet+",pool:198.18.1.10-198.18.1.250")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := l.server.Command(context.Background(), dhcptest.CoreDHCPBinary(t), "--conf", config, "--loglevel", "debug")
	cmd.Stderr = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()

	clients := newStorm(l.site, 10)
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for _, machine := range clients.machines {
		asking.Go(func() {
			for ctx.Err() == nil {
				clients.discover(machine)
			}
		})
	}
	dhcptest.Eventually(t, 2*time.Minute, func() error {
		metrics, err := pageOf(l.server, "http://127.0.0.1:6767/metrics")
		if m := regexp.MustCompile(`(?m)^coredhcp_log_lines_lost_total (.*)$`).FindStringSubmatch(metrics); err != nil || m == nil || m[1] == "0" {
			return fmt.Errorf("%v, %q lines are lost", err, m)
		}
		return nil
	})
	stop()
	asking.Wait()
	clients.report(t)
	for _, machine := range clients.machines {
		if reply := clients.try(message(machine, dhcpv4.MessageTypeDiscover), 1, patient); reply == nil {
			t.Errorf("machine %x gets no answer", machine)
		}
	}
	told := make(chan string, 1)
	go func() {
		lost := regexp.MustCompile(`level=warning msg="(\d+) log lines lost here: they could not be written in time" prefix=log`)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if m := lost.FindStringSubmatch(lines.Text()); m != nil && len(told) == 0 {
				told <- m[1]
			}
		}
	}()
	select {
	case n := <-told:
		t.Logf("%s lines lost", n)
	case <-time.After(patient):
		t.Error("the log does not say that lines are lost")
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		ended <- err
		if err != nil {
			t.Errorf("at SIGTERM: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still runs 5 s after SIGTERM")
	}
}

// pageOf returns what a server in the namespace answers.
func pageOf(ns *dhcptest.Namespace, url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return ns.Dial(ctx, network, addr)
	}}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
