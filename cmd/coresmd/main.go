// Command coresmd is for the administrator of a DHCP server with the plugins
// coresmd and bootloop: it asks the running server, or tries a configuration
// beside it. It changes nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	e := &env{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, terminal: term.IsTerminal(int(os.Stdout.Fd()))}
	status := e.run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitFine   = 0 // done
	exitWrong  = 1 // done, and something is wrong with what was asked for
	exitFailed = 2 // it could not be done
)

// errWrong ends a verb with exitWrong. What is wrong was printed.
var errWrong = errors.New("something is wrong")

// An env is what a verb works with.
type env struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	terminal       bool // stdout is one

	server string // --server
	format string // --format

	config    string // --config; of explain and others: empty asks the server
	inventory string // --inventory

	ends []func() // what is to be done at the end
}

// atEnd has something done when the verb is through.
func (e *env) atEnd(do func()) { e.ends = append(e.ends, do) }

// run does what the words of a command line say, and returns the exit status.
func (e *env) run(ctx context.Context, words []string) int {
	root := newRoot(e)
	root.SetArgs(words)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	for _, end := range slices.Backward(e.ends) {
		end()
	}
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errWrong):
		return exitWrong
	default:
		for i, line := range strings.Split("coresmd: "+err.Error(), "\n") {
			if word, indented := strings.CutPrefix(line, "\t"); indented && i > 0 { // by cobra
				fmt.Fprintf(e.stderr, "\t%s\n", harmless(word))
				continue
			}
			fmt.Fprintf(e.stderr, "%s\n", harmless(line))
		}
		return exitFailed
	}
}
