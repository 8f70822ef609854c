package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const pcapHelp = `Write the last packets of a machine as pcapng, which Wireshark, tshark and tcpdump
read: each request as it came, malformed ones too, with what was decided of it in its
comment, and each reply as it was sent. It needs record= in the directive coresmd.

WORD is a MAC in any writing, an xname, an IP address or a host name; all stands for
everybody. A packet too broken to tell whose it is comes with all.

The packets begin with the IP header. An interface has its networks in its
description, so that coresmd replay can ask a configuration the same.`

// everybody is the word for all machines.
const everybody = "all"

func pcapVerb(e *env) *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use: "pcap WORD", Short: "Write the last packets of a machine for Wireshark", Long: pcapHelp,
		Example: "  coresmd pcap x3000c0s0b0n0 -w bug.pcapng\n  coresmd pcap all | tshark -r - -T fields -e frame.time -e dhcp.hw.mac_addr -e frame.comment",
		Args:    oneWord("one machine: a MAC, an xname, an IP address or a host name; or all"),
		RunE:    func(c *cobra.Command, words []string) error { return e.pcap(c.Context(), words[0], file) },
	}
	c.Flags().StringVarP(&file, "write", "w", "", "the file to write; without it, or with -, standard output")
	_ = c.MarkFlagFilename("write", "pcapng")
	return c
}

func (e *env) pcap(ctx context.Context, word, file string) error {
	if e.format != "table" {
		return fmt.Errorf("--format %s is not for pcap, which writes pcapng", e.format)
	}
	client, err := status.NewClient(e.server)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	params := status.Params{}
	if word != everybody {
		params["machine"] = word
	}
	get := func(w io.Writer) error { return running{client, e.server}.refused(client.Pcap(ctx, params, w)) }
	switch {
	case file != "" && file != "-":
		return replace(file, get)
	case e.terminal:
		return errors.New("packets are not for a terminal; wanted -w FILE, or a pipe such as | tshark -r -")
	}
	return get(e.stdout)
}

// replace writes a file under another name first: it is there whole, or as it was.
func replace(file string, write func(io.Writer) error) error {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("-w %s: it is no regular file; wanted one, or -", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("-w %s: %w", file, err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
