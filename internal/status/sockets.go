package status

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// UDPPorts returns the ports of this process's UDP sockets that wait for
// anybody, as the kernel has them.
func UDPPorts() ([]uint16, error) {
	ours, err := socketInodes("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("looking for open sockets: %w", err)
	}
	var ports []uint16
	for _, name := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue // no IPv6 here
		}
		ports = append(ports, unconnected(bufio.NewScanner(f), ours)...)
		f.Close()
	}
	return ports, nil
}

// socketInodes returns the inodes of the sockets among open files.
func socketInodes(dir string) (map[string]bool, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	inodes := make(map[string]bool)
	for _, f := range files {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && err == nil {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// unconnected reads a table of the kernel (proc(5)): the ports of those sockets
// of a process that have no peer.
func unconnected(lines *bufio.Scanner, ours map[string]bool) []uint16 {
	const state, inode = 3, 9
	var ports []uint16
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) <= inode || words[state] != "07" || !ours[words[inode]] {
			continue
		}
		_, hex, _ := strings.Cut(words[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && port > 0 {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}
