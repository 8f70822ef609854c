// Command demo shows the main job on one machine, without hardware and without
// SMD: an inventory in two files, a server and two machines in network
// namespaces of their own. One machine is known and is taken as far as its boot
// script; the other one is not, gets a temporary address, is added to the
// inventory and moves to its real one.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// limit bounds the whole demonstration.
const limit = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) // run has cleaned up
	}
}

func run(ctx context.Context) error {
	if len(os.Args) > 1 {
		return play(ctx, os.Args[1])
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: sudo make demo")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the command ip is missing: apt-get install iproute2")
	}
	return stage(ctx)
}

// stage sets everything up, plays, and takes everything down again.
func stage(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp("", "coresmd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s := site{
		folder: folder,
		server: fmt.Sprintf("demo-server-%d", os.Getpid()),
		nodes:  fmt.Sprintf("demo-nodes-%d", os.Getpid()),
	}
	defer func() { err = errors.Join(err, s.unplug()) }()
	if err := s.plug(ctx); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	server, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = server.stop() }()
	if err := s.play(ctx); err != nil {
		return fmt.Errorf("%w\nthe server said:\n%s", err, server.log.String())
	}
	fmt.Printf("\nThe server's log:\n%s", server.lines())
	return nil
}

// A site is two namespaces on one wire and a folder with the server's files.
type site struct{ folder, server, nodes string }

// plug makes the namespaces: the server with a bridge, the nodes with one
// interface each.
func (s site) plug(ctx context.Context) error {
	script := strings.NewReplacer("SERVER", s.server, "NODES", s.nodes).Replace(`netns add SERVER
netns add NODES
-n SERVER link set lo up
-n SERVER link add wire type bridge
-n SERVER addr add 192.0.2.1/24 dev wire
-n SERVER link set wire up
-n SERVER link add port1 type veth peer name node1 netns NODES
-n SERVER link add port2 type veth peer name node2 netns NODES
-n SERVER link set port1 master wire up
-n SERVER link set port2 master wire up
-n NODES link set node1 address 02:00:00:00:00:01 up
-n NODES link set node2 address 02:00:00:00:00:02 up`)
	for line := range strings.SplitSeq(script, "\n") {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// unplug removes what plug made, as far as it got.
func (s site) unplug() error {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{s.nodes, s.server} {
		if bytes.Contains(out, []byte(name)) {
			errs = append(errs, exec.Command("ip", "netns", "del", name).Run())
		}
	}
	return errors.Join(errs...)
}

func (s site) path(name string) string { return filepath.Join(s.folder, name) }

const knownNode = `{"ID":"020000000001","MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.11"}]}`

const newNode = `{"ID":"020000000002","MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s1b0n0","Type":"Node","IPAddresses":[{"IPAddress":"192.0.2.12"}]}`

const nodes = `{"Components":[
 {"ID":"x3000c0s0b0n0","Type":"Node","NID":1},
 {"ID":"x3000c0s1b0n0","Type":"Node","NID":2}]}`

const directives = `server4:
  listen: "%%wire"
  plugins:
    - server_id: 192.0.2.1
    - dns: 192.0.2.53
    - router: 192.0.2.254
    - netmask: 255.255.255.0
    - coresmd: svc_base_uri=file://%[1]s ipxe_base_uri=http://192.0.2.1:8081 cache_valid=1s lease_time=1h tftp_dir=%[1]s/tftpboot domain=cluster.example.org
    - bootloop: lease_file=%[1]s/leases.db lease_time=5m subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.250
`

// write makes the inventory, a loader and the configuration.
func (s site) write() error {
	if err := os.Mkdir(s.path("tftpboot"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"EthernetInterfaces.json":  "[" + knownNode + "]",
		"Components.json":          nodes,
		"config.yaml":              fmt.Sprintf(directives, s.folder),
		"tftpboot/ipxe-x86_64.efi": strings.Repeat("a loader", 8192),
	} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	fmt.Println("inventory  x3000c0s0b0n0 is node 1, 02:00:00:00:00:01 has 192.0.2.11")
	return nil
}

// play runs the machines' part in their namespace.
func (s site) play(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", s.nodes, self, s.folder)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
