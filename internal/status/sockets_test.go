package status

import (
	"net"
	"slices"
	"testing"
)

func TestUDPPorts(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	connected, err := net.Dial("udp4", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	ports, err := UDPPorts()
	if err != nil || !slices.Contains(ports, port) {
		t.Errorf("%v %v, want %d among them", ports, err, port)
	}
	if slices.Contains(ports, uint16(connected.LocalAddr().(*net.UDPAddr).Port)) {
		t.Errorf("%v has a socket with a peer", ports)
	}
	conn.Close()
	if ports, _ := UDPPorts(); slices.Contains(ports, port) {
		t.Errorf("%v has a closed socket", ports)
	}
}
