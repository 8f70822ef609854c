//go:build container

package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// engine is a Docker engine that belongs to one test. It and all that it runs are in a
// process namespace and a mount namespace, and end with the process that made them.
type engine struct {
	t      *testing.T
	client string
	socket string
	proc   *dhcptest.Process
}

// startEngine starts an engine on a folder of images, in a network namespace or, with nil,
// on the host's network.
func startEngine(t *testing.T, data string, ns *dhcptest.Namespace) *engine {
	t.Helper()
	run := t.TempDir()
	e := &engine{t: t, client: dhcptest.Need(t, "docker", "docker.io"), socket: "unix://" + filepath.Join(run, "sock")}
	words := []string{
		"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", dhcptest.Need(t, "dockerd", "docker.io"),
		"--iptables=false", "--bridge=none", "--data-root", data, "--exec-root", filepath.Join(run, "exec"),
		"--pidfile", filepath.Join(run, "pid"), "--host", e.socket, "--cgroup-parent", cgroup(),
	}
	cmd := exec.Command("unshare", words...)
	if ns != nil { // not by ip netns, which takes the control groups away
		cmd = exec.Command("nsenter", append([]string{"--net=/run/netns/" + ns.Name, "unshare"}, words...)...)
	}
	e.proc = dhcptest.StartProcess(t, "dockerd", cmd)
	t.Cleanup(e.stop)
	dhcptest.Eventually(t, time.Minute, func() error {
		_, err := e.try("version")
		return err
	})
	return e
}

// stop ends the engine and what is left of its containers. It does not mind SIGTERM.
func (e *engine) stop() {
	e.proc.Kill9()
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup())
	for _, group := range append(groups, "/sys/fs/cgroup"+cgroup()) {
		if err := os.Remove(group); err != nil && !os.IsNotExist(err) {
			e.t.Error(err)
		}
	}
}

// cgroup is the parent of the containers' control groups.
func cgroup() string { return fmt.Sprintf("/crsmd-%d", os.Getpid()) }

// docker runs a command of the client and returns what it printed.
func (e *engine) docker(words ...string) string {
	e.t.Helper()
	out, err := e.try(words...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// try is docker for what may fail.
func (e *engine) try(words ...string) (string, error) {
	cmd := e.command(words...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w\n%s%s", strings.Join(words, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// command prepares one of the client. The builder is the engine's own: the other one is not
// everywhere.
func (e *engine) command(words ...string) *exec.Cmd {
	cmd := exec.Command(e.client, words...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.socket, "DOCKER_BUILDKIT=0")
	return cmd
}

// load brings in a root file system as an image, unless it is there.
func (e *engine) load(archive, name string, changes ...string) {
	e.t.Helper()
	if _, err := e.try("image", "inspect", name); err == nil {
		return
	}
	words := []string{"import"}
	for _, change := range changes {
		words = append(words, "--change", change)
	}
	e.docker(append(words, archive, name)...)
}

// container is a running container of the image.
type container struct {
	e    *engine
	name string
}

// start runs the image with the network of the engine. The flags stand before the image, the
// words of the command behind it.
func (e *engine) start(name string, flags []string, words ...string) container {
	e.t.Helper()
	c := container{e, name}
	e.docker(append(append([]string{"run", "--detach", "--network", "host", "--name", name}, flags...), append([]string{image}, words...)...)...)
	e.t.Cleanup(func() {
		if e.t.Failed() {
			e.t.Logf("log of %s:\n%s", name, c.log())
		}
		e.docker("rm", "--force", name)
	})
	return c
}

// exec runs a program in the container as a health check does.
func (c container) exec(words ...string) string {
	c.e.t.Helper()
	return c.e.docker(append([]string{"exec", c.name}, words...)...)
}

// fails runs a program in the container that must fail, and returns its exit status.
func (c container) fails(words ...string) int {
	c.e.t.Helper()
	var exit *exec.ExitError
	if _, err := c.e.try(append([]string{"exec", c.name}, words...)...); !errors.As(err, &exit) {
		c.e.t.Fatalf("%v: %v, want an exit status", words, err)
	}
	return exit.ExitCode()
}

// log is what the container has printed.
func (c container) log() string {
	out, _ := c.e.command("logs", c.name).CombinedOutput()
	return string(out)
}

// waitLog waits until the container has printed something.
func (c container) waitLog(text string) {
	c.e.t.Helper()
	dhcptest.Eventually(c.e.t, time.Minute, func() error {
		if !strings.Contains(c.log(), text) {
			return fmt.Errorf("%s did not print %q but:\n%s", c.name, text, c.log())
		}
		return nil
	})
}
