package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHealth asks what a configuration lets be asked. That DHCP answers is
// tested on the image.
func TestHealth(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	config := func(listen, words string) string {
		path := filepath.Join(folder, "config.yaml")
		text := "server4:\n" + listen + "  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: svc_base_uri=http://smd ipxe_base_uri=http://bss " + words + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const bound = "  listen: ['%eth0']\n"
	file := config(bound, "http_socket="+strings.TrimPrefix(here.socket, "unix:"))
	if got, want := run(t, "health", "-c", file), (said{Out: "status listener unix:FOLDER/socket: answers\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	file = config(bound, "http_socket=/nowhere/socket")
	if got, want := run(t, "health", "-c", file), (said{Status: exitWrong, Out: "status listener unix:/nowhere/socket: dial unix /nowhere/socket: connect: no such file or directory\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := run(t, "health", "-c", file, "--format", "json"), (said{Status: exitWrong, Out: `{
  "healthy": false,
  "asked": [
    {
      "asked": "status listener",
      "where": "unix:/nowhere/socket",
      "fault": "dial unix /nowhere/socket: connect: no such file or directory"
    }
  ]
}
`}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := run(t, "health", "-c", folder+"/none.yaml"), (said{Status: exitFailed, Err: "coresmd: there is no file " + folder + "/none.yaml\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestHealthPlaces has where a configuration says that a server can be asked.
func TestHealthPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"server4:\n  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: http_addr=:6767\n":                             "http://127.0.0.1:6767 192.0.2.1",
		"server4:\n  listen: 0.0.0.0\n  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: http_addr=0.0.0.0:6767\n":   "http://127.0.0.1:6767 192.0.2.1",
		"server4:\n  listen: '%eth0'\n  plugins:\n    - server_id: 192.0.2.1\n    - coresmd: http_addr=192.0.2.1:6767\n": "http://192.0.2.1:6767 invalid IP",
		"server6:\n  plugins:\n    - server_id: LL 02:00:00:00:00:01\n    - coresmd: http_socket=/run/s\n":               "unix:/run/s invalid IP",
		"server4:\n  plugins:\n    - bootloop: lease_file=/x\n":                                                          " invalid IP",
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, problems, err := readConfig(path)
		if err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
		if got := c.listener() + " " + c.identifier().String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestPortOpen sees a socket that waits, and none that is closed or connected.
func TestPortOpen(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	if err := portOpen(port); err != nil {
		t.Errorf("an open port: %v", err)
	}
	conn.Close()
	if portOpen(port) == nil {
		t.Error("a closed port is open")
	}
}
