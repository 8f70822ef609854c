package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// The operations of TFTP (RFC 1350 section 5).
const (
	opRead  = 1
	opData  = 3
	opAck   = 4
	opError = 5
)

// tftpGet loads a file as the plainest of firmware does, in blocks of 512
// octets, and returns its size.
func tftpGet(server net.IP, name string) (int, error) {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	request := append([]byte{0, opRead}, name+"\x00octet\x00"...)
	if _, err := conn.WriteToUDP(request, &net.UDPAddr{IP: server, Port: 69}); err != nil {
		return 0, err
	}
	size, buffer := 0, make([]byte, 516)
	for block := uint16(1); ; {
		n, peer, err := conn.ReadFromUDP(buffer)
		if err != nil {
			return 0, err
		}
		if n < 4 {
			return 0, errors.New("a short packet")
		}
		switch op := binary.BigEndian.Uint16(buffer); {
		case op == opError:
			return 0, fmt.Errorf("error %d: %s", buffer[3], buffer[4:n])
		case op != opData || binary.BigEndian.Uint16(buffer[2:]) != block:
			continue
		}
		if _, err := conn.WriteToUDP([]byte{0, opAck, byte(block >> 8), byte(block)}, peer); err != nil {
			return 0, err
		}
		size += n - 4
		if n < len(buffer) {
			return size, nil
		}
		block++
	}
}
