package preflight

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// TFTP: RFC 1350, 2347, 2349.
const (
	opRead      = 1
	opData      = 3
	opError     = 5
	opOptions   = 6
	tftpTries   = 3
	tftpWait    = 2 * time.Second
	tftpEnough  = 600 // octets of a packet that are looked at
	tftpService = "69"
)

// openTFTP asks for a file, and breaks off when it begins to come.
func openTFTP(ctx context.Context, server, file string) error {
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	to, err := net.ResolveUDPAddr("udp", net.JoinHostPort(server, tftpService))
	if err != nil {
		return err
	}
	for range tftpTries {
		if _, err := conn.WriteTo(readRequest(file), to); err != nil {
			return err
		}
		switch err := begun(conn); {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
	return fmt.Errorf("no answer by TFTP after %d tries", tftpTries)
}

func readRequest(file string) []byte {
	words := []string{file, "octet", "tsize", "0"}
	return append(binary.BigEndian.AppendUint16(nil, opRead), strings.Join(words, "\x00")+"\x00"...)
}

// begun waits for the first packet of a file.
func begun(conn net.PacketConn) error {
	packet := make([]byte, tftpEnough)
	if err := conn.SetReadDeadline(time.Now().Add(tftpWait)); err != nil {
		return err
	}
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return err
		}
		if n < 4 {
			continue
		}
		switch binary.BigEndian.Uint16(packet) {
		case opError:
			return fmt.Errorf("error %d: %s", binary.BigEndian.Uint16(packet[2:]), strings.TrimRight(string(packet[4:n]), "\x00"))
		case opData, opOptions:
			_, _ = conn.WriteTo(append([]byte{0, opError, 0, 0}, "enough\x00"...), from) // it ends by itself
			return nil
		}
	}
}
